#pragma once
/*
 * s3_xml.h: as much XML as S3 answers with, for bytes that may be anything.
 *
 * A pull parser without a tree: elements open and close, and a leaf's text is there when it closes.
 * Namespaces' prefixes are dropped, attributes skipped; CDATA, comments, processing instructions
 * and the five named entities are understood, a DOCTYPE is refused. Everything has a limit.
 */
#include "common/base/str.h"

enum {
    XML_DEPTH_MAX = 16,
    XML_NAME_BYTES_MAX = 128,
    XML_TEXT_BYTES_MAX = 8192,
};

typedef enum XmlEvent {
    XML_OPEN,
    XML_CLOSE, /* xml_text() is what the element held, when it had no elements in it */
    XML_END,   /* the root closed, and nothing came after it */
    XML_BAD,   /* not XML, or over a limit; stays so */
} XmlEvent;

typedef struct Xml {
    Str rest;
    unsigned depth; /* on OPEN and CLOSE the element itself is names[depth - 1] */
    Str names[XML_DEPTH_MAX];
    bool closing; /* the newest element closed: it goes with the next event */
    bool empty;   /* <so/>: its CLOSE comes next */
    bool leaf;
    bool failed;
    size_t text_len;
    char text[XML_TEXT_BYTES_MAX];
} Xml;

void xml_init(Xml *xml, Str bytes); /* `bytes` must stay */
XmlEvent xml_next(Xml *xml);
/* Whether the current element is that one: "ListBucketResult/Contents/Key". */
bool xml_at(const Xml *xml, const char *path);
/* Stays until the next xml_next(). */
Str xml_text(const Xml *xml);
