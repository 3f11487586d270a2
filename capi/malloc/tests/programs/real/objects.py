# Objects of all kinds, threads, subprocesses, and what the C libraries below do.
import collections, hashlib, json, re, subprocess, sys, threading, zlib

words = ["word%d" % (i * 7919 % 100003) for i in range(60000)]
counts = collections.Counter(w[-2:] for w in words)
print(sorted(counts.items())[:20])
table = {w: [w] * (i % 9) for i, w in enumerate(words)}
for w in words[::3]:
    del table[w]
print(len(table), sum(map(len, table.values())))
text = json.dumps(sorted(table.items()))
print(len(text), hashlib.sha256(text.encode()).hexdigest())
print(json.loads(text) == [[k, v] for k, v in sorted(table.items())])
packed = zlib.compress(text.encode(), 9)
print(len(packed), zlib.decompress(packed) == text.encode())
print(len(re.findall(r"word\d*7\b", text)))
big = 3 ** 20000
print(hashlib.sha256(hex(big).encode()).hexdigest())

results = [None] * 8

def work(number):
    rows = []
    for i in range(4000):
        rows.append("x" * ((i * 37 + number) % 2000))
        if i % 3 == 0:
            rows.pop(len(rows) // 2)
    results[number] = sum(map(len, rows))

threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(results)
out = subprocess.run([sys.executable, "-c", "print(sum(range(10**6)))"], capture_output=True)
print(out.stdout, out.stderr)
blocks = [bytearray(i * 1000) for i in range(1000)]
while len(blocks) > 10:
    blocks = [a + b for a, b in zip(blocks[::2], blocks[1::2])]
print([len(b) for b in blocks])
