#pragma once
/*
 * fake_streams.h: a StreamSource of literals, for tests: streams of entries, cut into units and
 * batches as the test likes, with faults where it wants them.
 */
#include "querier/exec/streams.h"

typedef struct FakeEntry {
    int64_t time_ns;
    const char *line;
    const char *metadata; /* "a=1,b=2", sorted; NULL: none */
} FakeEntry;

typedef struct FakeStream {
    const char *labels;       /* "app=x,env=y", sorted */
    const FakeEntry *entries; /* ascending */
    size_t count;
} FakeStream;

typedef struct FakeStreams {
    StreamSource source;
    const FakeStream *streams;
    size_t count;
    size_t unit_entries;  /* 0: a unit per stream */
    size_t batch_entries; /* 0: 2 */
    bool does_needles;    /* leaves out what cannot match, and says so */
    bool lazy_lines;      /* delivers lines only when asked */
    int64_t fail_at;      /* this call of next() fails; 0: none */
    _Atomic int64_t calls;
    _Atomic uint64_t delivered; /* entries */
    StreamSelect last;          /* what was asked for last */
} FakeStreams;

void fake_streams_init(FakeStreams *fake, const FakeStream *streams, size_t count);
