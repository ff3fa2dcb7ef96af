/* The XML that stores send: read right when it is right, refused when it isn't, never overrun. */
#include "common/store/s3_xml.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static const char list[] =
    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<!-- a <comment> -->\n"
    "<s3:ListBucketResult xmlns:s3=\"http://s3.amazonaws.com/doc/2006-03-01/\" odd='a>b'>\n"
    "  <IsTruncated>false</IsTruncated><Empty/><Marker />\n"
    "  <Contents><Key>a&amp;b&lt;&gt;&quot;&apos;&#65;&#x20ac;&#x1F600;</Key>"
    "<ETag><![CDATA[\"<raw>&amp;\"]]></ETag></Contents>\n"
    "  <Contents><Key>se<!-- x -->cond</Key ></Contents>\n"
    "</s3:ListBucketResult>\n";

/* Copies the bytes to memory that ends where they end, so that a sanitizer sees one too far. */
static XmlEvent read_all(const char *bytes, size_t len, char *keys, size_t size) {
    char *exact = malloc(len > 0 ? len : 1);
    XmlEvent event;
    Xml xml;

    assert_non_null(exact);
    memcpy(exact, bytes, len);
    xml_init(&xml, (Str){exact, len});
    if (keys != NULL) keys[0] = '\0';
    while ((event = xml_next(&xml)) == XML_OPEN || event == XML_CLOSE) {
        Str text = xml_text(&xml);

        assert_true(xml.depth > 0 && xml.depth <= XML_DEPTH_MAX);
        assert_true(text.len <= XML_TEXT_BYTES_MAX);
        if (keys != NULL && event == XML_CLOSE && xml.leaf) {
            size_t used = strlen(keys);

            snprintf(keys + used, size - used, STR_FMT "=" STR_FMT ";",
                     STR_ARG(xml.names[xml.depth - 1]), STR_ARG(text));
        }
    }
    assert_int_equal(xml_next(&xml), event); /* the end stays the end */
    free(exact);
    return event;
}

static void leaves_come_with_their_text(void **state) {
    char keys[512];

    (void)state;
    assert_int_equal(read_all(list, sizeof list - 1, keys, sizeof keys), XML_END);
    assert_string_equal(keys, "IsTruncated=false;Empty=;Marker=;Key=a&b<>\"'A\xe2\x82\xac"
                              "\xf0\x9f\x98\x80;ETag=\"<raw>&amp;\";Key=second;");
}

static void an_element_knows_its_path(void **state) {
    unsigned keys = 0;
    XmlEvent event;
    Xml xml;

    (void)state;
    xml_init(&xml, STR("<A><B><Key>1</Key></B><Key>2</Key></A>"));
    while ((event = xml_next(&xml)) == XML_OPEN || event == XML_CLOSE) {
        if (event == XML_CLOSE && xml_at(&xml, "A/B/Key")) keys++;
        assert_false(xml_at(&xml, "A/B/Key/C"));
        assert_false(xml_at(&xml, "B"));
        assert_false(xml_at(&xml, ""));
    }
    assert_int_equal(event, XML_END);
    assert_int_equal(keys, 1);
}

static void what_is_not_xml_is_bad(void **state) {
    static const char *const texts[] = {
        "",
        "   ",
        "text",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/>b",
        "<a/><b/>",
        "<a><b></a>",
        "<a>&amp</a>",
        "<a>&x;</a>",
        "<a>&#0;</a>",
        "<a>&#x;",
        "<a>&#xd800;</a>",
        "<a>&#1114112;</a>",
        "<a>&#99999999999;</a>",
        "<",
        "<a",
        "<a b='c>",
        "<a><",
        "<!DOCTYPE a><a/>",
        "<a><!DOCTYPE b></a>",
        "<![CDATA[x]]><a/>",
        "<a><![CDATA[x</a>",
        "<a><!-- x</a>",
        "<?xml",
        "< a/>",
        "<>",
        "<a <b/>",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (read_all(texts[i], strlen(texts[i]), NULL, 0) != XML_BAD) fail_msg("'%s'", texts[i]);
}

static void cut_anywhere_it_is_bad(void **state) {
    (void)state;
    for (size_t len = 0; len + 2 < sizeof list; len++)
        if (read_all(list, len, NULL, 0) != XML_BAD) fail_msg("cut at %zu", len);
}

static void any_flipped_bit_is_survived(void **state) {
    char copy[sizeof list];

    (void)state;
    for (size_t bit = 0; bit < (sizeof list - 1) * 8; bit++) {
        memcpy(copy, list, sizeof list);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        (void)read_all(copy, sizeof list - 1, NULL, 0);
    }
}

static void everything_has_a_limit(void **state) {
    char text[XML_TEXT_BYTES_MAX + 64], deep[XML_DEPTH_MAX * 8 + 32] = "";
    size_t len;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, "<a>", 3);
    memcpy(text + 3 + XML_TEXT_BYTES_MAX, "</a>", 5);
    assert_int_equal(read_all(text, strlen(text), NULL, 0), XML_END);
    memset(text + 3, 'x', XML_TEXT_BYTES_MAX + 1);
    memcpy(text + 4 + XML_TEXT_BYTES_MAX, "</a>", 5);
    assert_int_equal(read_all(text, strlen(text), NULL, 0), XML_BAD);
    memset(text, 'x', sizeof text);
    text[0] = '<';
    memcpy(text + 1 + XML_NAME_BYTES_MAX, "/>", 3);
    assert_int_equal(read_all(text, strlen(text), NULL, 0), XML_END);
    memcpy(text + 1 + XML_NAME_BYTES_MAX, "x/>", 4);
    assert_int_equal(read_all(text, strlen(text), NULL, 0), XML_BAD);
    for (unsigned levels = XML_DEPTH_MAX; levels <= XML_DEPTH_MAX + 1; levels++) {
        len = 0;
        for (unsigned i = 0; i < levels; i++)
            len += (size_t)snprintf(deep + len, sizeof deep - len, "<a>");
        for (unsigned i = 0; i < levels; i++)
            len += (size_t)snprintf(deep + len, sizeof deep - len, "</a>");
        assert_int_equal(read_all(deep, len, NULL, 0), levels == XML_DEPTH_MAX ? XML_END : XML_BAD);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_come_with_their_text), cmocka_unit_test(an_element_knows_its_path),
        cmocka_unit_test(what_is_not_xml_is_bad),      cmocka_unit_test(cut_anywhere_it_is_bad),
        cmocka_unit_test(any_flipped_bit_is_survived), cmocka_unit_test(everything_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
