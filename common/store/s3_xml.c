/*
 * s3_xml.c: see the header. Each helper takes its part off xml->rest or sets xml->failed.
 */
#include "common/store/s3_xml.h"

void xml_init(Xml *xml, Str bytes) {
    if (str_starts_with(bytes, STR("\xef\xbb\xbf"))) bytes = str_from(bytes, 3);
    xml->rest = bytes;
    xml->depth = 0;
    xml->names[0] = (Str){0}; /* no root yet */
    xml->closing = xml->empty = xml->leaf = xml->failed = false;
    xml->text_len = 0;
}

static bool fail(Xml *xml) {
    xml->failed = true;
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes everything up to and with `end`. */
static bool take_until(Xml *xml, Str end, Str *ret_taken) {
    const char *found = memmem(xml->rest.ptr, xml->rest.len, end.ptr, end.len);
    size_t len;

    if (found == NULL) return fail(xml);
    len = (size_t)(found - xml->rest.ptr);
    if (ret_taken != NULL) *ret_taken = str_slice(xml->rest, 0, len);
    xml->rest = str_from(xml->rest, len + end.len);
    return true;
}

static bool append(Xml *xml, const char *bytes, size_t len) {
    if (len > sizeof xml->text - xml->text_len) return fail(xml);
    memcpy(xml->text + xml->text_len, bytes, len);
    xml->text_len += len;
    return true;
}

static bool append_code_point(Xml *xml, uint32_t c) {
    char utf8[4];
    size_t len;

    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return fail(xml);
    if (c < 0x80) {
        utf8[0] = (char)c;
        len = 1;
    } else if (c < 0x800) {
        utf8[0] = (char)(0xc0 | c >> 6);
        utf8[1] = (char)(0x80 | (c & 0x3f));
        len = 2;
    } else if (c < 0x10000) {
        utf8[0] = (char)(0xe0 | c >> 12);
        utf8[1] = (char)(0x80 | (c >> 6 & 0x3f));
        utf8[2] = (char)(0x80 | (c & 0x3f));
        len = 3;
    } else {
        utf8[0] = (char)(0xf0 | c >> 18);
        utf8[1] = (char)(0x80 | (c >> 12 & 0x3f));
        utf8[2] = (char)(0x80 | (c >> 6 & 0x3f));
        utf8[3] = (char)(0x80 | (c & 0x3f));
        len = 4;
    }
    return append(xml, utf8, len);
}

static int digit_of(char c, unsigned base) {
    if (c >= '0' && c <= '9') return c - '0';
    if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* `digits` of &#...; */
static bool append_numeric(Xml *xml, Str digits) {
    unsigned base = 10;
    uint32_t c = 0;

    if (digits.len > 0 && digits.ptr[0] == 'x') {
        base = 16;
        digits = str_from(digits, 1);
    }
    if (digits.len == 0 || digits.len > 8) return fail(xml);
    for (size_t i = 0; i < digits.len; i++) {
        int digit = digit_of(digits.ptr[i], base);

        if (digit < 0) return fail(xml);
        c = c * base + (uint32_t)digit;
        if (c > 0x10ffff) return fail(xml);
    }
    return append_code_point(xml, c);
}

static bool append_entity(Xml *xml, Str name) {
    static const struct {
        Str name;
        char is;
    } entities[] = {{STR_INIT("amp"), '&'},
                    {STR_INIT("lt"), '<'},
                    {STR_INIT("gt"), '>'},
                    {STR_INIT("quot"), '"'},
                    {STR_INIT("apos"), '\''}};

    if (name.len > 0 && name.ptr[0] == '#') return append_numeric(xml, str_from(name, 1));
    for (size_t i = 0; i < ARRAY_LEN(entities); i++)
        if (str_equal(name, entities[i].name)) return append(xml, &entities[i].is, 1);
    return fail(xml);
}

/* Character data up to the next '<'. Outside the root only white space may stand. */
static bool take_text(Xml *xml) {
    const char *end = memchr(xml->rest.ptr, '<', xml->rest.len);
    Str text = str_slice(xml->rest, 0, end == NULL ? xml->rest.len : (size_t)(end - xml->rest.ptr));

    xml->rest = str_from(xml->rest, text.len);
    if (xml->depth == 0) return str_trim(text).len == 0 || fail(xml);
    if (!xml->leaf) return true; /* the white space between elements */
    while (text.len > 0) {
        Str plain, entity;

        if (!str_cut(text, '&', &plain, &text)) return append(xml, plain.ptr, plain.len);
        if (!append(xml, plain.ptr, plain.len)) return false;
        if (!str_cut(text, ';', &entity, &text)) return fail(xml);
        if (!append_entity(xml, entity)) return false;
    }
    return true;
}

/* <!-- -->, <![CDATA[ ]]>, <? ?>: true when there was one, and it was taken. */
static bool take_aside(Xml *xml) {
    Str data;

    if (str_starts_with(xml->rest, STR("<?"))) return take_until(xml, STR("?>"), NULL);
    if (str_starts_with(xml->rest, STR("<!--"))) {
        xml->rest = str_from(xml->rest, 4);
        return take_until(xml, STR("-->"), NULL);
    }
    if (str_starts_with(xml->rest, STR("<![CDATA[")) && xml->depth > 0) {
        xml->rest = str_from(xml->rest, 9);
        return take_until(xml, STR("]]>"), &data) &&
               (!xml->leaf || append(xml, data.ptr, data.len));
    }
    if (str_starts_with(xml->rest, STR("<!"))) return fail(xml);
    return false;
}

static bool take_name(Xml *xml, Str *out) {
    static const char ends[] = {'/', '>', '<', '=', '&', '"', '\''};
    size_t len = 0;
    Str prefix, local;

    while (len < xml->rest.len && len <= XML_NAME_BYTES_MAX && !is_space(xml->rest.ptr[len]) &&
           memchr(ends, xml->rest.ptr[len], sizeof ends) == NULL)
        len++;
    if (len == 0 || len > XML_NAME_BYTES_MAX) return fail(xml);
    *out = str_slice(xml->rest, 0, len);
    xml->rest = str_from(xml->rest, len);
    if (str_cut(*out, ':', &prefix, &local)) *out = local;
    return true;
}

/* What is left of a start tag: attributes, `/`, `>`. */
static bool take_attributes(Xml *xml) {
    char quote = 0;

    for (size_t i = 0; i < xml->rest.len; i++) {
        char c = xml->rest.ptr[i];

        if (quote != 0) {
            if (c == quote) quote = 0;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '<') {
            break;
        } else if (c == '>') {
            xml->empty = i > 0 && xml->rest.ptr[i - 1] == '/';
            xml->rest = str_from(xml->rest, i + 1);
            return true;
        }
    }
    return fail(xml);
}

static bool take_close(Xml *xml) {
    Str name;

    xml->rest = str_from(xml->rest, 2);
    if (!take_name(xml, &name)) return false;
    while (xml->rest.len > 0 && is_space(xml->rest.ptr[0])) xml->rest = str_from(xml->rest, 1);
    if (!str_starts_with(xml->rest, STR(">"))) return fail(xml);
    xml->rest = str_from(xml->rest, 1);
    if (xml->depth == 0 || !str_equal(name, xml->names[xml->depth - 1])) return fail(xml);
    return true;
}

static XmlEvent close_element(Xml *xml) {
    if (!xml->leaf) xml->text_len = 0;
    xml->closing = true;
    xml->empty = false;
    return XML_CLOSE;
}

XmlEvent xml_next(Xml *xml) {
    if (xml->failed) return XML_BAD;
    if (xml->closing) {
        xml->closing = xml->leaf = false;
        xml->text_len = 0;
        /* A second root must not follow: depth 0 with a name in place says there was one. */
        if (--xml->depth == 0) xml->names[0] = (Str){"", 0};
    }
    if (xml->empty) return close_element(xml);
    while (!xml->failed && xml->rest.len > 0) {
        if (xml->rest.ptr[0] != '<') {
            if (!take_text(xml)) return XML_BAD;
        } else if (take_aside(xml) || xml->failed) {
            continue;
        } else if (str_starts_with(xml->rest, STR("</"))) {
            return take_close(xml) ? close_element(xml) : XML_BAD;
        } else {
            bool second_root = xml->depth == 0 && xml->names[0].ptr != NULL;

            xml->rest = str_from(xml->rest, 1);
            if (second_root || xml->depth == XML_DEPTH_MAX ||
                !take_name(xml, &xml->names[xml->depth]) || !take_attributes(xml)) {
                xml->failed = true;
                return XML_BAD;
            }
            xml->depth++;
            xml->leaf = true;
            xml->text_len = 0;
            return XML_OPEN;
        }
    }
    if (!xml->failed && xml->depth == 0 && xml->names[0].ptr != NULL) return XML_END;
    xml->failed = true;
    return XML_BAD;
}

bool xml_at(const Xml *xml, const char *path) {
    Str rest = str_of(path), name;

    for (unsigned i = 0; i < xml->depth; i++) {
        bool more = str_cut(rest, '/', &name, &rest);

        if (!str_equal(name, xml->names[i]) || more != (i + 1 < xml->depth)) return false;
    }
    return xml->depth > 0;
}

Str xml_text(const Xml *xml) {
    return (Str){xml->text, xml->text_len};
}
