"""A policy that learns to balance a pole on a cart, by REINFORCE: a training loop of one's own.

The cart and its pole are those of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve
difficult learning control problems" (1983), as everybody uses them: push left or right, 50 times a second,
and keep the pole within 12 degrees and the cart within 2.4 m, for 200 steps.

Run it: ``python examples/policy_gradient.py`` (a few seconds)
"""

import numpy as np

from fastnn import Input
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from fastnn.utils import set_random_seed

STEPS = 200  # of an episode, at most
EPISODES = 16  # played at a time, for one step of the optimizer
ROUNDS = 100
DISCOUNT = 0.99

GRAVITY, FORCE, SECONDS = 9.8, 10.0, 0.02
CART, POLE, HALF_LENGTH = 1.0, 0.1, 0.5  # kg, kg, m
EDGE, TILT = 2.4, np.deg2rad(12)


class CartPoles:
    """Several carts, each with position, speed, angle and angular speed of its own: ``state``, (carts, 4)."""

    def __init__(self, carts, rng):
        self.state = rng.uniform(-0.05, 0.05, size=(carts, 4))

    def push(self, right):
        """Push each cart right (1) or left (0) for a step; return which are still up."""
        _, speed, angle, turn = self.state.T
        force = np.where(right, FORCE, -FORCE)
        mass = CART + POLE
        pull = (force + POLE * HALF_LENGTH * turn**2 * np.sin(angle)) / mass
        bend = (GRAVITY * np.sin(angle) - np.cos(angle) * pull) / (
            HALF_LENGTH * (4 / 3 - POLE * np.cos(angle) ** 2 / mass)
        )
        push = pull - POLE * HALF_LENGTH * bend * np.cos(angle) / mass
        self.state = self.state + SECONDS * np.stack([speed, push, turn, bend], axis=1)
        return (np.abs(self.state[:, 0]) < EDGE) & (np.abs(self.state[:, 2]) < TILT)


def build():
    """From a state to the logit of pushing right."""
    return Sequential([Input(shape=(4,)), Dense(32, activation="tanh"), Dense(1)])


def play(model, rng, episodes=EPISODES):
    """Play; return the states met, the pushes made, (steps, episodes, ...), and how long each was up."""
    carts, policy = CartPoles(episodes, rng), model.predictor(batch_size=episodes)
    up, lengths = np.ones(episodes, bool), np.zeros(episodes, int)
    states, pushes = [], []
    while up.any() and len(states) < STEPS:
        states.append(carts.state.astype("float32"))
        right = rng.random(episodes) < 1 / (1 + np.exp(-policy(states[-1])[:, 0]))
        pushes.append(right)
        lengths += up
        up &= carts.push(right)
    return np.array(states), np.array(pushes), lengths


def returns(lengths, steps):
    """What each step was worth: a discounted 1 for each step until the pole fell; (steps, episodes)."""
    left = np.maximum(lengths - np.arange(steps)[:, None], 0)
    return (1 - DISCOUNT**left) / (1 - DISCOUNT)


def train(seed=0, rounds=ROUNDS, verbose=0):
    """Train a policy; return it and the mean length of each round's episodes."""
    set_random_seed(seed)
    rng, model, optimizer, lasted = np.random.default_rng(seed), build(), Adam(0.01), []
    for turn in range(rounds):
        states, pushes, lengths = play(model, rng)
        met = np.arange(len(states))[:, None] < lengths  # before the pole fell
        worth = returns(lengths, len(states))[met]
        worth = (worth - worth.mean()) / (worth.std() + 1e-8)
        # Of -mean(worth * log(probability of what was done)), with respect to the logit.
        logits = model.forward(states[met])[:, 0]
        wrong = 1 / (1 + np.exp(-logits)) - pushes[met]
        optimizer.apply(model.backward(worth * wrong / len(worth)))
        lasted.append(lengths.mean())
        if verbose and turn % 10 == 9:
            print(f"round {turn + 1}: the pole stays up for {lasted[-1]:.0f} steps of {STEPS}")
    return model, lasted


def main():
    _, lasted = train(verbose=1)
    print(f"from {lasted[0]:.0f} to {np.mean(lasted[-10:]):.0f} steps")


if __name__ == "__main__":
    main()
