-- Tables that grow row by row, indices, joins and sorting, all in memory.
CREATE TABLE item (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT);
CREATE TABLE sale (id INTEGER PRIMARY KEY, item INTEGER, amount REAL, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO item SELECT i, i * 7919 % 97, 'item ' || (i * 7919 % 10007) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
INSERT INTO sale SELECT i, i * 104729 % 40000 + 1, i * 31 % 1009 / 7.0, hex(i * 7919) FROM n;
CREATE INDEX item_kind ON item (kind);
CREATE INDEX sale_item ON sale (item);
SELECT kind, count(*), round(sum(amount), 3), max(note)
FROM item JOIN sale ON sale.item = item.id GROUP BY kind ORDER BY kind;
UPDATE item SET name = name || ' of kind ' || kind WHERE kind % 3 = 0;
SELECT name, count(*) FROM item GROUP BY name ORDER BY 2 DESC, 1 LIMIT 20;
DELETE FROM sale WHERE amount < 40;
SELECT count(*), round(sum(amount), 3), group_concat(note, '') LIKE '%F%' FROM sale;
