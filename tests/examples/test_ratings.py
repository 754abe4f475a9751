"""The example of ratings, where half like adventures and half romances."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
USERS, FILMS = 40, 20
pytestmark = pytest.mark.once


def movielens(package, name):
    assert (package, name) == ("dslabs", "movielens")
    rng = np.random.default_rng(0)
    user, film = (each.ravel() for each in np.indices((USERS, FILMS)))
    liked = user % 2 == film % 2
    kept = rng.random(len(user)) < 0.8
    table = pd.DataFrame(
        {
            "userId": user,
            "title": [f"film {i}" for i in film],
            "year": 2000.0,
            "rating": np.where(liked, 4.5, 1.5),
        }
    )[kept]
    nameless = table.iloc[:1].assign(title=None, year=np.nan)
    return pd.concat([table, nameless])


@pytest.fixture(scope="module")
def ratings():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import ratings

        patch.setattr(ratings, "load", movielens)
        patch.setattr(ratings, "BATCH_SIZE", 16)
        patch.setattr(ratings, "EPOCHS", 15)
        patch.setattr(ratings, "LOVED", ["film 0 (2000)", "film 2 (2000)"])
        patch.setattr(ratings, "HATED", ["film 1 (2000)"])
        yield ratings


def test_it_learns_who_likes_what(ratings, capsys):
    ratings.main()
    parts = capsys.readouterr().out.split("\n\n")
    biases, factors = [
        float(line.split()[-1]) for line in parts[0].splitlines()[1:]
    ]
    assert biases == pytest.approx(1.5, abs=0.2)  # everyone likes half
    assert factors < 0.5
    # Even films and odd ones are the two ends of the first axis.
    (axis,) = (part for part in parts if part.startswith("axis 1"))
    numbers = [int(x.split()[1]) % 2 for x in axis.splitlines() if "film" in x]
    assert sorted([numbers[:5], numbers[5:]]) == [[0] * 5, [1] * 5]
    # And the newcomer, who loves two even ones, is shown others.
    *_, liked = parts[-1].partition("others:")
    films = [int(line.split()[1]) for line in liked.split("\n") if line]
    assert not {0, 1, 2} & {*films}
    assert [film % 2 for film in films] == [0] * 8


def test_newcomer_is_a_ridge_away_from_the_average_user(ratings, monkeypatch):
    table = ratings.ratings()
    assert len(table) == len(movielens("dslabs", "movielens")) - 1
    monkeypatch.setattr(ratings, "EPOCHS", 2)
    model = ratings.fit(table)
    learned = ratings.inference.embeddings(model)["film"]
    rows = {"user": [None] * FILMS, "film": learned.words}
    average = ratings.predict(model, rows).astype(float)
    found = ratings.for_newcomer(model, [], [])
    np.testing.assert_allclose(found, average, rtol=1e-6)

    # The same by least squares, with slopes by differences, and the penalty
    # as ratings of its own.
    vectors = np.column_stack([learned.vectors, np.ones(FILMS)]).astype(float)
    logits = np.log(average / (5.5 - average))

    def stars(away):
        return 5.5 / (1 + np.exp(-logits - vectors @ away))

    each = 1e-5 * np.eye(vectors.shape[1])
    slopes = np.stack([(stars(e) - stars(-e)) / 2e-5 for e in each], axis=1)
    a = np.vstack([slopes[:3], np.sqrt(2.0) * np.eye(len(each))])
    b = np.concatenate([[5, 1, 5] - average[:3], np.zeros(len(each))])
    expected = stars(np.linalg.lstsq(a, b)[0])
    found = ratings.for_newcomer(model, learned.words[:3], [5, 1, 5], 2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_biases_by_hand(ratings):
    train = pd.DataFrame({"user": [1, 1], "film": ["a", "b"], "stars": [5, 1]})
    test = pd.DataFrame({"user": [1, 2], "film": ["a", "c"]})
    predicted = ratings.biases(train, test, penalty=1.0)
    # The mean is 3, film a +2 / 2; the user's left over are +1 and -1.
    assert predicted.tolist() == [4.0, 3.0]
