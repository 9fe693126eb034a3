DROP TABLE IF EXISTS entry;
DROP TABLE IF EXISTS account;

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL
);

CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    author INTEGER NOT NULL REFERENCES account (id),
    title TEXT NOT NULL,
    place TEXT NOT NULL,
    body TEXT NOT NULL,
    picture TEXT,
    created TEXT NOT NULL
);

CREATE INDEX entry_created ON entry (created DESC, id DESC);
