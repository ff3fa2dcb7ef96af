#pragma once
/*
 * container.h: the frame that all objects share: pages with checksums, sections made of pages, a
 * footer that lists sections by tenant and signal, a tail of fixed size. It knows nothing of what
 * is in a page. Private to common/block. Byte by byte: docs/FORMATS.md#container.
 */
#include <zstd.h>

#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/block/block.h"

enum {
    CONTAINER_VERSION = 1,
    CONTAINER_MAGIC_BYTES = 8,
    CONTAINER_TAIL_BYTES = 32,
    PAGE_HEAD_BYTES = 16,
    /* Nothing larger is written, and nothing larger is believed. */
    PAGE_RAW_MAX = 32 << 20,
    FOOTER_RAW_MAX = 256 << 20,
};

#define CONTAINER_MAGIC "MORAINE\n"
#define CONTAINER_TAIL_MAGIC "MRNE"

/* Never renumber. Kinds that a reader doesn't know are skipped; a codec it doesn't know is an error
 * once the section is needed. */
typedef enum SectionKind {
    SECTION_METRICS_DATA = 1,       /* pages that the chunk index locates */
    SECTION_METRICS_DICTIONARY = 2, /* label names and values */
    SECTION_METRICS_SERIES = 3,     /* a column of values per label name */
    SECTION_METRICS_CHUNKS = 4,     /* where each series' chunks are */
    SECTION_METRICS_EXEMPLARS = 5,  /* where each series' exemplars are */
    SECTION_METRICS_METADATA = 6,
    SECTION_LOGS_DATA = 7,       /* pages that the page index locates */
    SECTION_LOGS_DICTIONARY = 8, /* as of metrics, of streams' labels */
    SECTION_LOGS_SERIES = 9,     /* likewise */
    SECTION_LOGS_PAGES = 10,     /* where each stream's pages are */
    SECTION_LOGS_UUIDS = 11,     /* filters: which pages may hold an id */
    SECTION_LOGS_HEX = 12,
    SECTION_LOGS_LITERAL = 24,       /* of which pages the filters know ids in escapes, too */
    SECTION_TRACES_DATA = 13,        /* pages that the page index locates */
    SECTION_TRACES_IDS = 14,         /* pages that the filter locates: which page a trace is in */
    SECTION_TRACES_DIRECTORIES = 15, /* copies of those of large pages */
    SECTION_TRACES_VALUES = 16,      /* which keys and values are in which pages */
    SECTION_TRACES_PAGES = 17,       /* where pages are */
    SECTION_TRACES_FILTER = 18,      /* which traces aren't here */
} SectionKind;

typedef struct Section {
    uint64_t offset;
    uint64_t length;     /* of its pages, heads included */
    uint64_t raw_length; /* of what is in them */
    uint8_t kind;
    uint8_t codec;
} Section;

typedef struct ContainerPart {
    BlockPart part;
    uint64_t offset;
    const Section *sections;
    uint32_t section_count;
} ContainerPart;

/* ---------- writing ---------- */

typedef struct ContainerWriter ContainerWriter;
/* Heap memory of its own goes with the arena. NULL: out of memory. */
ContainerWriter *container_writer_new(Arena *arena, BlockSink sink, int64_t created_ms);

/* What is written between begin and end belongs to one part. */
MUST_USE ErrCode container_part_begin(ContainerWriter *writer, Str tenant, Signal signal,
                                      Error *err);
/* `level` of a page that holds columns compressed one by one, and is stored as it is. */
enum { PAGE_PLAIN = -1000 };
/* One page; how many bytes it takes goes to *stored. Compressed where that saves enough. */
MUST_USE ErrCode container_page(ContainerWriter *writer, Str raw, int level, uint32_t *stored,
                                Error *err);
/* Names what was written since `offset`. */
MUST_USE ErrCode container_section(ContainerWriter *writer, SectionKind kind, uint8_t codec,
                                   uint64_t offset, uint64_t raw_length, Error *err);
/* A section that is read as a whole, cut into pages. */
MUST_USE ErrCode container_blob(ContainerWriter *writer, SectionKind kind, uint8_t codec, Str raw,
                                int level, Error *err);
/* `part` has all but tenant, signal and bytes. */
MUST_USE ErrCode container_part_end(ContainerWriter *writer, const BlockPart *part, Error *err);
MUST_USE ErrCode container_finish(ContainerWriter *writer, BlockSummary *out, Error *err);
uint64_t container_offset(const ContainerWriter *writer);

/* ---------- reading ---------- */

typedef struct ContainerTail {
    uint64_t footer_offset;
    uint32_t footer_stored;
    uint32_t footer_raw;
    uint64_t checksum;
} ContainerTail;

typedef struct Container {
    const ContainerPart *parts; /* by tenant, signal */
    size_t part_count;
    int64_t created_ms;
    uint64_t checksum; /* of the footer */
    uint64_t size;     /* of the object */
} Container;

/* `bytes` are the last CONTAINER_TAIL_BYTES of an object of `size` bytes. ERR_CORRUPT, or
 * ERR_UNSUPPORTED for another version. */
MUST_USE ErrCode container_tail_parse(Str bytes, uint64_t size, ContainerTail *out, Error *err);
/* `bytes` are what the tail locates. Everything in `arena`. */
MUST_USE ErrCode container_footer_parse(Str bytes, const ContainerTail *tail, Arena *arena,
                                        Container *out, Error *err);
/* NULL: this part has none. */
const ContainerPart *container_find_part(const Container *container, Str tenant, Signal signal);
const Section *container_find_section(const ContainerPart *part, SectionKind kind);

/* The page that `bytes` start with, head included; *stored says where the next one begins. What was
 * not compressed is copied too: the result owns nothing of `bytes`. */
MUST_USE ErrCode page_decode(Str bytes, Arena *arena, Str *raw, size_t *stored, Error *err);
/* All pages of a blob, joined. */
MUST_USE ErrCode blob_decode(Str bytes, const Section *section, Arena *arena, Str *raw, Error *err);
