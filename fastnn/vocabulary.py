"""Keras 3's public names that fastnn does not have, each with the reason: one place for messages and docs.

A name that exists is done; what stands here under `REFUSED` is left out on purpose, under `LATER` for now.
``python tests/keras_table.py`` writes ``docs/keras.md`` of both and of what there is.
"""

from typing import Any, NoReturn

_IMAGES = "fastnn is for rows of numbers; there is nothing for images, sound, text or sequences"
_GRAPHS = "functional graphs, with several inputs or outputs, come later; use Sequential([...])"
_BACKEND = "there is one backend, compiled into fastnn, and nothing to choose"

# module -> reason -> names
REFUSED: dict[str, dict[str, str]] = {
    "": {
        _IMAGES: "applications preprocessing",
        _BACKEND: "backend device distribution name_scope RematScope remat StatelessScope SymbolicScope",
        "arithmetic on tensors is NumPy's here": "ops random tree Function Operation Variable",
        "the precision of products is chosen by compile(precision='bfloat16')": (
            "DTypePolicy FloatDTypePolicy Quantizer dtype_policies mixed_precision quantizers"
        ),
        "not a part of training a multi-layer perceptron": (
            "datasets distillation export legacy visualization InputSpec"
        ),
    },
    "callbacks": {
        "there is no TensorBoard here; CSVLogger writes a file, and history.plot() draws": "TensorBoard",
        "fastnn opens no network connections; send the logs from a callback of your own": "RemoteMonitor",
        "Orbax is JAX's": "OrbaxCheckpoint",
        "fit ends with the averaged weights where the optimizer has use_ema=True": ("SwapEMAWeights"),
    },
    "config": {
        _BACKEND: (
            "disable_flash_attention enable_flash_attention is_flash_attention_enabled is_nnx_enabled "
            "set_backend disable_traceback_filtering enable_traceback_filtering "
            "is_traceback_filtering_enabled"
        ),
        _IMAGES: "image_data_format set_image_data_format",
        "compiled losses clip at 1e-7": "set_epsilon",
        "nothing is ever executed out of a configuration": "enable_unsafe_deserialization",
        "the precision of products is chosen by compile(precision='bfloat16')": (
            "dtype_policy set_dtype_policy"
        ),
        "pass epochs= and steps_per_epoch= to fit": (
            "max_epochs set_max_epochs max_steps_per_epoch set_max_steps_per_epoch"
        ),
    },
    "initializers": {
        "it makes the kernels of spectrograms": "STFT STFTInitializer stft",
    },
    "layers": {
        "there are no convolutions": (
            "Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Convolution1D "
            "Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D "
            "Convolution3DTranspose "
            "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D SeparableConvolution1D "
            "SeparableConvolution2D ConvLSTM1D ConvLSTM2D ConvLSTM3D AdaptiveAveragePooling1D "
            "AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D "
            "AdaptiveMaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D "
            "AvgPool3D MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D "
            "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D "
            "GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D "
            "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D Cropping1D Cropping2D Cropping3D "
            "UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D "
            "SpatialDropout1D SpatialDropout2D SpatialDropout3D"
        ),
        "there is no recurrence": (
            "Bidirectional GRU GRUCell LSTM LSTMCell RNN SimpleRNN SimpleRNNCell StackedRNNCells "
            "TimeDistributed Masking"
        ),
        "there is no attention": (
            "AdditiveAttention Attention GroupQueryAttention MultiHeadAttention ReversibleEmbedding"
        ),
        _IMAGES: (
            "AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization "
            "MaxNumBoundingBoxes MelSpectrogram MixUp RandAugment RandomBrightness RandomColorDegeneration "
            "RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip "
            "RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization "
            "RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom "
            "Resizing "
            "STFTSpectrogram Solarization TextVectorization"
        ),
        "layers of other libraries cannot be compiled": "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper",
        "layers of your own have no compiled counterpart": "Lambda Wrapper Pipeline InputSpec",
    },
    "losses": {
        "it is for sequences": "CTC ctc",
        "it is for embeddings learned by comparing rows, not for a target of each row": "Circle circle",
    },
    "optimizers": {
        "weights are float32 or float64, which need no loss scale": "LossScaleOptimizer",
        "a model has one optimizer": "MultiOptimizer OptimizerMap",
        "Keras keeps it for files of old versions": "legacy",
    },
    "saving": {
        "not a part of training a multi-layer perceptron": "KerasFileEditor",
    },
    "utils": {
        _IMAGES: (
            "array_to_img audio_dataset_from_directory bounding_boxes image_dataset_from_directory "
            "img_to_array "
            "load_img save_img text_dataset_from_directory timeseries_dataset_from_array pad_sequences"
        ),
        "fastnn opens no network connections": "get_file",
        "graphs are not drawn; model.summary() prints the layers": (
            "model_to_dot plot_model get_source_inputs"
        ),
        "Keras keeps it for old programs": "legacy",
        "there are no symbolic tensors but what Input returns": "is_keras_tensor",
        "not a part of training a multi-layer perceptron": "Config FeatureSpace",
    },
}

LATER: dict[str, dict[str, str]] = {
    "layers": {
        _GRAPHS: (
            "Add Average Concatenate Dot Maximum Minimum Multiply Subtract add average concatenate dot "
            "maximum "
            "minimum multiply subtract"
        ),
    },
}


def reason(module: str, name: str) -> tuple[str, str] | None:
    """Return ("refused" or "later", why) of a name of Keras's, None where nothing is known about it."""
    for status, table in (("refused", REFUSED), ("later", LATER)):
        for why, names in table.get(module, {}).items():
            if name in names.split():
                return status, why
    return None


def refuse(module: str, name: str) -> NoReturn:
    """Raise the error for an attribute that a public module does not have."""
    found = reason(module.partition(".")[2], name)
    why = "" if found is None else f". Keras's {name} is {_WORDS[found[0]]}: {found[1]}."
    raise AttributeError(f"module {module!r} has no attribute {name!r}{why}")


def refusing(module: str, name: str) -> type:
    """Return a class that can be imported, but says why it cannot be used."""
    found = reason(module, name)
    assert found is not None, name
    sentence = f"{module}.{name} is {_WORDS[found[0]]}: {found[1]}."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(sentence)

    return type(name, (), {"__init__": __init__, "__doc__": sentence, "__module__": f"fastnn.{module}"})


_WORDS = {"refused": "not in fastnn on purpose", "later": "not in fastnn yet"}
