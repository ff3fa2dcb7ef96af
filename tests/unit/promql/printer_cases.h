#pragma once
/*
 * printer_cases.h: expressions over several lines, and as JSON, as Prometheus 3.16 gives both.
 */
typedef struct PrinterCase {
    const char *query;
    const char *text;
} PrinterCase;

static const PrinterCase pretty_cases[] = {
    {"a", "a"},
    {"1", "1"},
    {"\"x\"", "\"x\""},
    {"sum(a)", "sum(a)"},
    {"a+b", "a + b"},
    {"sum by (le, handler) "
     "(rate(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}[5m]))",
     "sum by (le, handler) (\n"
     "  "
     "rate(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[5m])\n"
     ")"},
    {"histogram_quantile(0.99, sum by (le, handler) "
     "(rate(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}[5m])))",
     "histogram_quantile(\n"
     "  0.99,\n"
     "  sum by (le, handler) (\n"
     "    "
     "rate(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[5m])\n"
     "  )\n"
     ")"},
    {"histogram_quantile(0.99, sum by (le, handler) "
     "(rate(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}[5m]))) > bool on (handler) group_left (team) slo_threshold_seconds",
     "  histogram_quantile(\n"
     "    0.99,\n"
     "    sum by (le, handler) (\n"
     "      "
     "rate(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[5m])\n"
     "    )\n"
     "  )\n"
     "> bool on (handler) group_left (team)\n"
     "  slo_threshold_seconds"},
    {"sum without (instance) "
     "(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) / ignoring (code) sum without (instance) "
     "(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"})",
     "  sum without (instance) (\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  )\n"
     "/ ignoring (code)\n"
     "  sum without (instance) (\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  )"},
    {"(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} + "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) * 2",
     "  (\n"
     "      "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "    +\n"
     "      "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  )\n"
     "*\n"
     "  2"},
    {"-(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} + "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"})",
     "-(\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  +\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     ")"},
    {"-http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} ^ 2 + "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}",
     "  "
     "-http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"} ^ 2\n"
     "+\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}"},
    {"topk(5, sum by (x) "
     "(increase(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}[1h] offset 1d)))",
     "topk(\n"
     "  5,\n"
     "  sum by (x) (\n"
     "    increase(\n"
     "      "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[1h] offset 1d\n"
     "    )\n"
     "  )\n"
     ")"},
    {"count_values(\"a long label name\", "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} and "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"})",
     "count_values(\n"
     "  \"a long label name\",\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  and\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     ")"},
    {"max_over_time(sum(rate(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/"
     "api/v1/.*\",code!~\"5..\"}[5m]))[1h:5m] @ end() offset 10m)",
     "max_over_time(\n"
     "  sum(\n"
     "    "
     "rate(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[5m])\n"
     "  )[1h:5m] @ end() offset 10m\n"
     ")"},
    {"max_over_time(max_over_time((a + b)[1h:5m])[1d:1h]) + max_over_time((sum by (job, instance) "
     "(a) / sum by (job, instance) (bbbbbbbbbbbbbbbbbbbbbbbbb))[1h:5m])",
     "  max_over_time(max_over_time((a + b)[1h:5m])[1d:1h])\n"
     "+\n"
     "  max_over_time(\n"
     "(sum by (job, instance) (a) / sum by (job, instance) (bbbbbbbbbbbbbbbbbbbbbbbbb))[1h:5m]\n"
     "  )"},
    {"label_replace(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}, \"destination\", \"$1\", \"source\", \"(.*)\")",
     "label_replace(\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"},\n"
     "  \"destination\",\n"
     "  \"$1\",\n"
     "  \"source\",\n"
     "  \"(.*)\"\n"
     ")"},
    {"http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} or "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} or "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}",
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  or\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "or\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}"},
    {"http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} and on (job) "
     "(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} unless "
     "(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}))",
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "and on (job)\n"
     "  (\n"
     "      "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "    unless\n"
     "      "
     "(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"})\n"
     "  )"},
    {"clamp(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}, 0, 1) or vector(0)",
     "  clamp(\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"},\n"
     "    0,\n"
     "    1\n"
     "  )\n"
     "or\n"
     "  vector(0)"},
    {"quantile(0.9, "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"})",
     "quantile(\n"
     "  0.9,\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     ")"},
    {"sum(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) by () + "
     "sum(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) without ()",
     "  "
     "sum(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"})\n"
     "+\n"
     "  sum without () (\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "  )"},
    {"http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}[5m] anchored",
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[5m] anchored"},
    {"rate(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}[5m:1m])",
     "rate(\n"
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}[5m:1m]\n"
     ")"},
    {"absent(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) * on () group_right () "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}",
     "  "
     "absent(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"})\n"
     "* on () group_right ()\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}"},
    {"(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) + fill_left(0) fill_right(1) "
     "(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"})",
     "  "
     "(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"})\n"
     "+ fill_left (0) fill_right (1)\n"
     "  "
     "(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"})"},
    {"time() - "
     "timestamp(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}) > 300 and on (job) up == 1",
     "      time()\n"
     "    -\n"
     "      "
     "timestamp(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"})\n"
     "  >\n"
     "    300\n"
     "and on (job)\n"
     "  up == 1"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaa",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaa"},
    {"(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaa)",
     "(\n"
     "  "
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaa\n"
     ")"},
    {"(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaa)",
     "(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaa)"},
    {"abs("
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aa)",
     "abs("
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aa)"},
    {"abs("
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaa)",
     "abs(\n"
     "  "
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaa\n"
     ")"},
    {"-abs("
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaa)",
     "-abs(\n"
     "  "
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaa\n"
     ")"},
    {"(-(-(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} + "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"})))",
     "(\n"
     "  -(\n"
     "    -(\n"
     "        "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "      +\n"
     "        "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}\n"
     "    )\n"
     "  )\n"
     ")"},
    {"sum(sum(sum(sum(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}))))",
     "sum(\n"
     "  sum(\n"
     "    "
     "sum(sum(http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"}))\n"
     "  )\n"
     ")"},
    {"info(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}, {__name__=~\".+_info\",job=\"x\"})",
     "info(\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"},\n"
     "  {__name__=~\".+_info\",job=\"x\"}\n"
     ")"},
    {"label_join(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"}, \"x\", \",\", \"a\", \"b\")",
     "label_join(\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"},\n"
     "  \"x\",\n"
     "  \",\",\n"
     "  \"a\",\n"
     "  \"b\"\n"
     ")"},
    {"(http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} offset (5m + step() * 2)) + "
     "http_request_duration_seconds_bucket{job=\"api-server\",handler=~\"/api/v1/"
     ".*\",code!~\"5..\"} @ 1603774568.123",
     "  (\n"
     "    "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"} offset (5m + step() * 2)\n"
     "  )\n"
     "+\n"
     "  "
     "http_request_duration_seconds_bucket{code!~\"5..\",handler=~\"/api/v1/"
     ".*\",job=\"api-server\"} @ 1603774568.123"},
};

static const PrinterCase json_cases[] = {
    {"1", "{\"type\":\"numberLiteral\",\"val\":\"1\"}"},
    {"-5m", "{\"type\":\"numberLiteral\",\"val\":\"-300\"}"},
    {"0x1f", "{\"type\":\"numberLiteral\",\"val\":\"31\"}"},
    {"Inf", "{\"type\":\"numberLiteral\",\"val\":\"+Inf\"}"},
    {"\"a\\\"b\\n\"", "{\"type\":\"stringLiteral\",\"val\":\"a\\\"b\\n\"}"},
    {"up", "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
           "\"up\"}],\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
           "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"}"},
    {"up{a=\"b\",c!=\"d\",e=~\"f\",g!~\"h\"}",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"a\",\"type\":\"=\",\"value\":\"b\"},{\"name\":"
     "\"c\",\"type\":\"!=\",\"value\":\"d\"},{\"name\":\"e\",\"type\":\"=~\",\"value\":\"f\"},{"
     "\"name\":\"g\",\"type\":\"!~\",\"value\":\"h\"},{\"name\":\"__name__\",\"type\":\"=\","
     "\"value\":\"up\"}],\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
     "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"}"},
    {"{\"a.b\"}", "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\","
                  "\"value\":\"a.b\"}],\"name\":\"\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":"
                  "false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"}"},
    {"up[5m]",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"range\":300000,\"rangeExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"matrixSelector\"}"},
    {"up[5m] offset 1h",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":3600000,\"offsetExpr\":null,\"range\":300000,\"rangeExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"matrixSelector\"}"},
    {"up @ 1.5", "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\","
                 "\"value\":\"up\"}],\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":"
                 "false,\"startOrEnd\":null,\"timestamp\":1500,\"type\":\"vectorSelector\"}"},
    {"up[5m] @ start()",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"range\":300000,\"rangeExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":\"start\",\"timestamp\":null,\"type\":\"matrixSelector\"}"},
    {"up @ end() offset -5m",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":-300000,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "\"end\",\"timestamp\":null,\"type\":\"vectorSelector\"}"},
    {"up[5m:1m]",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"up\"}],\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"offset\":0,\"offsetExpr\":null,"
     "\"range\":300000,\"rangeExpr\":null,\"startOrEnd\":null,\"step\":60000,\"stepExpr\":null,"
     "\"timestamp\":null,\"type\":\"subquery\"}"},
    {"up[5m:] @ 10 offset 1m",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"up\"}],\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"offset\":60000,\"offsetExpr\":null,"
     "\"range\":300000,\"rangeExpr\":null,\"startOrEnd\":null,\"step\":0,\"stepExpr\":null,"
     "\"timestamp\":10000,\"type\":\"subquery\"}"},
    {"up anchored",
     "{\"anchored\":true,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":null,"
     "\"timestamp\":null,\"type\":\"vectorSelector\"}"},
    {"up[5m] smoothed",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":0,\"offsetExpr\":null,\"range\":300000,\"rangeExpr\":null,"
     "\"smoothed\":true,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"matrixSelector\"}"},
    {"up[5m*2] offset (1m)",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":0,\"offsetExpr\":{\"lhs\":null,\"op\":\"+\",\"rhs\":{\"duration\":"
     "true,\"type\":\"numberLiteral\",\"val\":\"60\"},\"type\":\"durationExpr\",\"wrapped\":true},"
     "\"range\":0,\"rangeExpr\":{\"lhs\":{\"duration\":true,\"type\":\"numberLiteral\",\"val\":"
     "\"300\"},\"op\":\"*\",\"rhs\":{\"duration\":false,\"type\":\"numberLiteral\",\"val\":\"2\"},"
     "\"type\":\"durationExpr\",\"wrapped\":false},\"smoothed\":false,\"startOrEnd\":null,"
     "\"timestamp\":null,\"type\":\"matrixSelector\"}"},
    {"up[max_of(step(),1m)] offset -range()",
     "{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"up\"}],"
     "\"name\":\"up\",\"offset\":0,\"offsetExpr\":{\"lhs\":null,\"op\":\"-\",\"rhs\":{\"lhs\":null,"
     "\"op\":\"range\",\"rhs\":null,\"type\":\"durationExpr\",\"wrapped\":false},\"type\":"
     "\"durationExpr\",\"wrapped\":false},\"range\":0,\"rangeExpr\":{\"lhs\":{\"lhs\":null,\"op\":"
     "\"step\",\"rhs\":null,\"type\":\"durationExpr\",\"wrapped\":false},\"op\":\"max_of\",\"rhs\":"
     "{\"duration\":true,\"type\":\"numberLiteral\",\"val\":\"60\"},\"type\":\"durationExpr\","
     "\"wrapped\":false},\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":"
     "\"matrixSelector\"}"},
    {"sum(a)",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"grouping\":[],\"op\":\"sum\","
     "\"param\":null,\"type\":\"aggregation\",\"without\":false}"},
    {"topk by (x, \"y z\") (2, a)",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"grouping\":[\"x\",\"y "
     "z\"],\"op\":\"topk\",\"param\":{\"type\":\"numberLiteral\",\"val\":\"2\"},\"type\":"
     "\"aggregation\",\"without\":false}"},
    {"sum without () (a)",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"grouping\":[],\"op\":\"sum\","
     "\"param\":null,\"type\":\"aggregation\",\"without\":true}"},
    {"rate(a[5m])",
     "{\"args\":[{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"range\":300000,\"rangeExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"matrixSelector\"}],"
     "\"func\":{\"argTypes\":[\"matrix\"],\"name\":\"rate\",\"returnType\":\"vector\",\"variadic\":"
     "0},\"type\":\"call\"}"},
    {"label_join(a, \"x\", \"-\")",
     "{\"args\":[{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},{\"type\":\"stringLiteral\",\"val\":"
     "\"x\"},{\"type\":\"stringLiteral\",\"val\":\"-\"}],\"func\":{\"argTypes\":[\"vector\","
     "\"string\",\"string\",\"string\"],\"name\":\"label_join\",\"returnType\":\"vector\","
     "\"variadic\":-1},\"type\":\"call\"}"},
    {"time()", "{\"args\":[],\"func\":{\"argTypes\":[],\"name\":\"time\",\"returnType\":\"scalar\","
               "\"variadic\":0},\"type\":\"call\"}"},
    {"a + b",
     "{\"bool\":false,\"lhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
     "\",\"value\":\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
     "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
     "\"one-to-one\",\"fillValues\":{\"lhs\":null,\"rhs\":null},\"include\":[],\"labels\":[],"
     "\"on\":false},\"op\":\"+\",\"rhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\","
     "\"type\":\"=\",\"value\":\"b\"}],\"name\":\"b\",\"offset\":0,\"offsetExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},"
     "\"type\":\"binaryExpr\"}"},
    {"a == bool on (x) group_left (y) b",
     "{\"bool\":true,\"lhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
     "\",\"value\":\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
     "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
     "\"many-to-one\",\"fillValues\":{\"lhs\":null,\"rhs\":null},\"include\":[\"y\"],\"labels\":["
     "\"x\"],\"on\":true},\"op\":\"==\",\"rhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__"
     "name__\",\"type\":\"=\",\"value\":\"b\"}],\"name\":\"b\",\"offset\":0,\"offsetExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},"
     "\"type\":\"binaryExpr\"}"},
    {"1 + 2",
     "{\"bool\":false,\"lhs\":{\"type\":\"numberLiteral\",\"val\":\"1\"},\"matching\":null,\"op\":"
     "\"+\",\"rhs\":{\"type\":\"numberLiteral\",\"val\":\"2\"},\"type\":\"binaryExpr\"}"},
    {"a or b",
     "{\"bool\":false,\"lhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
     "\",\"value\":\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
     "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
     "\"many-to-many\",\"fillValues\":{\"lhs\":null,\"rhs\":null},\"include\":[],\"labels\":[],"
     "\"on\":false},\"op\":\"or\",\"rhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\","
     "\"type\":\"=\",\"value\":\"b\"}],\"name\":\"b\",\"offset\":0,\"offsetExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},"
     "\"type\":\"binaryExpr\"}"},
    {"a / fill(0) b",
     "{\"bool\":false,\"lhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
     "\",\"value\":\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
     "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
     "\"one-to-one\",\"fillValues\":{\"lhs\":0,\"rhs\":0},\"include\":[],\"labels\":[],\"on\":"
     "false},\"op\":\"/"
     "\",\"rhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"b\"}],\"name\":\"b\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"type\":\"binaryExpr\"}"},
    {"a + fill_left(1.5) b",
     "{\"bool\":false,\"lhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
     "\",\"value\":\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,"
     "\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
     "\"one-to-one\",\"fillValues\":{\"lhs\":1.5,\"rhs\":null},\"include\":[],\"labels\":[],\"on\":"
     "false},\"op\":\"+\",\"rhs\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\","
     "\"type\":\"=\",\"value\":\"b\"}],\"name\":\"b\",\"offset\":0,\"offsetExpr\":null,"
     "\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"},"
     "\"type\":\"binaryExpr\"}"},
    {"-a",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"op\":\"-\",\"type\":\"unaryExpr\"}"},
    {"(a)",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"type\":\"parenExpr\"}"},
    {"-(1 + 2)",
     "{\"expr\":{\"expr\":{\"bool\":false,\"lhs\":{\"type\":\"numberLiteral\",\"val\":\"1\"},"
     "\"matching\":null,\"op\":\"+\",\"rhs\":{\"type\":\"numberLiteral\",\"val\":\"2\"},\"type\":"
     "\"binaryExpr\"},\"type\":\"parenExpr\"},\"op\":\"-\",\"type\":\"unaryExpr\"}"},
    {"info(a, {b=\"c\"})",
     "{\"args\":[{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},{\"anchored\":false,\"matchers\":[{"
     "\"name\":\"b\",\"type\":\"=\",\"value\":\"c\"}],\"name\":\"\",\"offset\":0,\"offsetExpr\":"
     "null,\"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"}],"
     "\"func\":{\"argTypes\":[\"vector\",\"vector\"],\"name\":\"info\",\"returnType\":\"vector\","
     "\"variadic\":1},\"type\":\"call\"}"},
    {"histogram_quantiles(a, \"q\", 0.5)",
     "{\"args\":[{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},{\"type\":\"stringLiteral\",\"val\":"
     "\"q\"},{\"type\":\"numberLiteral\",\"val\":\"0.5\"}],\"func\":{\"argTypes\":[\"vector\","
     "\"string\",\"scalar\",\"scalar\"],\"name\":\"histogram_quantiles\",\"returnType\":\"vector\","
     "\"variadic\":9},\"type\":\"call\"}"},
    {"a[5m:step()]",
     "{\"expr\":{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"},\"offset\":0,\"offsetExpr\":null,"
     "\"range\":300000,\"rangeExpr\":null,\"startOrEnd\":null,\"step\":0,\"stepExpr\":{\"lhs\":"
     "null,\"op\":\"step\",\"rhs\":null,\"type\":\"durationExpr\",\"wrapped\":false},\"timestamp\":"
     "null,\"type\":\"subquery\"}"},
    {"round(a)",
     "{\"args\":[{\"anchored\":false,\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
     "\"a\"}],\"name\":\"a\",\"offset\":0,\"offsetExpr\":null,\"smoothed\":false,\"startOrEnd\":"
     "null,\"timestamp\":null,\"type\":\"vectorSelector\"}],\"func\":{\"argTypes\":[\"vector\","
     "\"scalar\"],\"name\":\"round\",\"returnType\":\"vector\",\"variadic\":1},\"type\":\"call\"}"},
};
