-- Rows in memory, an index, joins, sorting, and what is deleted.
CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, size INTEGER, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO rows SELECT i, 'name' || (i * 7919 % 10007), i * 31 % 977, zeroblob(i % 300) FROM n;
CREATE INDEX by_name ON rows (name, size);
SELECT count(*), sum(size), sum(length(data)) FROM rows;
SELECT a.name, count(*), max(b.size) FROM rows a JOIN rows b ON a.name = b.name
WHERE a.size < 20 GROUP BY a.name ORDER BY 2 DESC, 1 LIMIT 20;
DELETE FROM rows WHERE id % 3 = 0;
UPDATE rows SET data = zeroblob(size * 4) WHERE id % 5 = 0;
SELECT size, count(*), sum(length(data)), group_concat(id) FROM rows
GROUP BY size ORDER BY size LIMIT 30;
VACUUM;
SELECT count(*), sum(length(name)) FROM rows;
