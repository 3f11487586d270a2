# Objects of many kinds that come and go: words, lists, dictionaries, trees, text as JSON.
import json


def number(state):
    return (state * 1103515245 + 12345) % 2147483648


def words(count, state):
    for _ in range(count):
        state = number(state)
        yield "w%x" % (state % 20011), state


counts = {}
for word, state in words(500_000, 1):
    counts.setdefault(word, []).append(state % 97)
tree = {}
for word in sorted(counts):
    place = tree
    for letter in word:
        place = place.setdefault(letter, {})
    place["="] = sum(counts[word])
text = json.dumps(tree, sort_keys=True)
again = json.loads(text)
lines = [",".join(str(n) for n in counts[word]) for word in counts]
parts = [part for line in lines for part in line.split(",")]
print(len(text), again == tree, len(parts), sum(map(int, parts)))
