#pragma once
/*
 * parser_good.h: expressions and their canonical form, on one line and, where that is too long, on
 * several.
 */
typedef struct GoodCase {
    const char *query;
    const char *canonical;
} GoodCase;

static const GoodCase good_cases[] = {
    {"{foo=\"bar\"}", "{foo=\"bar\"}"},
    {"{ foo =~ \"b.r\", a!~`x` }", "{foo=~\"b.r\", a!~\"x\"}"},
    {"{a=\"b\",c=~\"d\"}|=\"x\" or \"y\"!=\"z\"|logfmt --strict a,b=\"c\"|d>5m and e=~\"f\"",
     "{a=\"b\", c=~\"d\"} |= \"x\" or \"y\" != \"z\" | logfmt --strict a=\"a\",b=\"c\" | ( d>5m0s "
     ", e=~\"f\" )"},
    {"sum by(a)(rate({x=\"y\"}|=\"z\"[5m]))", "sum by (a)(rate({x=\"y\"} |= \"z\"[5m]))"},
    {"1+2*3", "7"},
    {"1 >= 1 > 1", "0"},
    {"-1e30", "-1e+30"},
    {"+2.50", "2.5"},
    {"{a=\"b\"}|json|line_format \"{{.a}}\"", "{a=\"b\"} | json | line_format \"{{.a}}\""},
    {"{a=\"b\"} | label_format x=y,z=\"{{.q}}\" | drop a,b=\"c\" | keep d | decolorize | unpack",
     "{a=\"b\"} | label_format x=y,z=\"{{.q}}\" | drop a,b=\"c\" | keep d | decolorize | unpack"},
    {"{a=\"b\"} |~ \"x\" !~ \"y\" |> \"<_> z\" !> \"<_> q\" != ip(\"10.0.0.0/8\")",
     "{a=\"b\"} |~ \"x\" !~ \"y\" |> \"<_> z\" !> \"<_> q\" != ip(\"10.0.0.0/8\")"},
    {"{a=\"b\"} |~ \"a\" or \"b\" or ip(\"1.1.1.1\") !~ \"c\" or \"d\"",
     "{a=\"b\"} |~ \"a\" or \"b\" or ip(\"1.1.1.1\") !~ \"c\" !~ \"d\""},
    {"{a=\"b\"} | json | latency >= 250ms or ( status_code < 500 and status_code > 200)",
     "{a=\"b\"} | json | ( latency>=250ms or ( status_code<500 , status_code>200 ) )"},
    {"{a=\"b\"} | json | a<5 or b>3 and c>=250ms",
     "{a=\"b\"} | json | ( a<5 or ( b>3 , c>=250ms ) )"},
    {"{a=\"b\"} | size >= 2.5KiB, x == 1h30m y != 2d | z=ip(\"1.2.3.4\")",
     "{a=\"b\"} | ( size>=2.6kB , ( x==1h30m0s , y!=48h0m0s ) ) | z=ip(\"1.2.3.4\")"},
    {"quantile_over_time(0.99, {a=\"b\"} | json | unwrap duration(x) | __error__=\"\" [5m] offset "
     "-1h) by (c,d)",
     "quantile_over_time(0.99,{a=\"b\"} | json | unwrap duration(x) | __error__=\"\"[5m] offset "
     "-1h0m0s) by (c,d)"},
    {"count_over_time({a=\"b\"}[5m] offset 5m |= \"x\")",
     "count_over_time({a=\"b\"} |= \"x\"[5m] offset 5m0s)"},
    {"count_over_time(({a=\"b\"} |= \"x\")[1w])", "count_over_time({a=\"b\"} |= \"x\"[1w])"},
    {"sum_over_time({a=\"b\"} [1h30m] | unwrap bytes(x))",
     "sum_over_time({a=\"b\"} | unwrap bytes(x)[1h30m])"},
    {"topk(5, sum without (x) (rate({a=\"b\"}[1y]))) by (y)",
     "topk by (y)(5,sum without (x)(rate({a=\"b\"}[1y])))"},
    {"avg(rate({a=\"b\"}[1m])) by ()", "avg(rate({a=\"b\"}[1m]))"},
    {"avg without () (rate({a=\"b\"}[1m]))", "avg without ()(rate({a=\"b\"}[1m]))"},
    {"sort_desc(SUM BY (x) (RATE({a=\"b\"}[1m])))", "sort_desc(sum by (x)(rate({a=\"b\"}[1m])))"},
    {"vector(1.5) or rate({a=\"b\"}[1m]) > bool 2",
     "(vector(1.500000) or (rate({a=\"b\"}[1m]) > bool 2))"},
    {"rate({a=\"b\"}[1m]) * on (x, y) group_left (z) rate({a=\"c\"}[1m])",
     "(rate({a=\"b\"}[1m]) * on (x,y) group_left (z) rate({a=\"c\"}[1m]))"},
    {"rate({a=\"b\"}[1m]) ^ rate({a=\"c\"}[1m]) ^ 2 unless ignoring (q) rate({a=\"d\"}[1m])",
     "((rate({a=\"b\"}[1m]) ^ (rate({a=\"c\"}[1m]) ^ 2)) unless ignoring (q)  "
     "rate({a=\"d\"}[1m]))"},
    {"label_replace(vector(0), \"foo\", \"$1\", \"bar\", \"(.*)x\")",
     "label_replace(vector(0.000000),\"foo\",\"$1\",\"bar\",\"(.*)x\")"},
    {"{app=\"foo\"} # |= \"bar\" | json", "{app=\"foo\"}"},
    {"{app=\"#\"} // c\n | bar=\"#\" /* x */", "{app=\"#\"} | bar=\"#\""},
    {"{ foo = \"bar\" }|logfmt|rate=\"a\"|ip=\"b\"|duration>5d",
     "{foo=\"bar\"} | logfmt | rate=\"a\" | ip=\"b\" | duration>120h0m0s"},
    {"{a=\"b\"} | logfmt | msg =~ \"`.`\" | n=~\"x.y\"",
     "{a=\"b\"} | logfmt | msg=~\"`.`\" | n=~`x.y`"},
    {"{a=\"b\"} | regexp \"(?P<x>.*)\" | pattern \"<y> z\" | json p=\"q[0].r\"",
     "{a=\"b\"} | regexp \"(?P<x>.*)\" | pattern \"<y> z\" | json p=\"q[0].r\""},
    {"absent_over_time({a=\"b\"}[5m])", "absent_over_time({a=\"b\"}[5m])"},
    {"approx_topk(3, sum by (a) (count_over_time({a=~\".+\"}[5m])))",
     "approx_topk(3,sum by (a)(count_over_time({a=~\".+\"}[5m])))"},
    {"{a=\"caf\\u00e9 \\x41\\n\"}", "{a=\"café A\\n\"}"},
};

static const GoodCase pretty_cases[] = {
    {"{a=\"b\"}|json", "{a=\"b\"} | json"},
    {"{job=\"loki\", instance=\"localhost\", namespace=\"a-rather-long-one-of-them\", "
     "pod=\"another-long-one-here\"}|= \"x\" != \"y\"|logfmt|level=\"error\"",
     "{job=\"loki\", instance=\"localhost\", namespace=\"a-rather-long-one-of-them\", "
     "pod=\"another-long-one-here\"}\n  |= \"x\" != \"y\"\n  | logfmt\n  | level=\"error\""},
    {"quantile_over_time(0.99,{job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"}| json| unwrap x| "
     "__error__=\"\"[1m] offset 5m) by (cluster,b)",
     "quantile_over_time(\n  0.99,\n  {job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"}\n    | json\n    | "
     "unwrap "
     "x\n    | __error__=\"\" [1m] offset 5m\n) by (cluster, b)"},
    {"topk(5, count_over_time({job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"}[5m])) by (container)",
     "topk by (container)(\n  5,\n  count_over_time(\n    {job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"} [5m]\n  )\n)"},
    {"sum(rate({job=\"loki\", instance=\"localhost\", namespace=\"a-rather-long-one-of-them\", "
     "pod=\"another-long-one-here\"}[5m])) * on(instance, job) group_left (node) "
     "sum(rate({job=\"x\"}[5m]))",
     "  sum(\n    rate(\n      {job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"} [5m]\n    )\n  )\n* "
     "on (instance, job) group_left (node)\n  sum(rate({job=\"x\"}[5m]))"},
    {"label_replace(rate({job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"}|= \"err\" [5m]), "
     "\"foo\", \"$1\", \"service\", \"(.*):.*\")",
     "label_replace(\n  rate(\n    {job=\"loki\", instance=\"localhost\", "
     "namespace=\"a-rather-long-one-of-them\", pod=\"another-long-one-here\"}\n      |= \"err\" "
     "[5m]\n  ),\n  \"foo\",\n  \"$1\",\n  \"service\",\n  \"(.*):.*\"\n)"},
};
