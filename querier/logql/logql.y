/*
 * logql.y: LogQL's grammar, as of Loki 3. Tokens are declared in the order in which errors list
 * what was expected, and no rule is empty where Loki's is not: an error then knows as little, or as
 * much, about what might have followed as Loki's does.
 */
%define api.pure full
%define api.prefix {logql_yy}
%define parse.error custom
%param { LogqlScanner scanner }
%parse-param { LogqlParser *parser }

%code requires {
#include "querier/logql/build.h"
}

%code provides {
/* The name by which flex's bison bridge knows it. */
#define YYSTYPE LOGQL_YYSTYPE
}

%code {
#include "querier/logql/logql.lex.h"

static void logql_yyerror(LogqlScanner scanner, LogqlParser *parser, const char *message) {
    (void)scanner;
    (void)message; /* of the stack, the only one left to bison: what is wrong is said below */
    logql_fail_here(parser, ERR_LIMIT, "the expression is too complex");
}

static LogqlModifier *grouped(LogqlModifier *modifier, LogqlCardinality cardinality,
                              const LogqlList *include) {
    modifier->matching.cardinality = cardinality;
    if (include == NULL) return modifier;
    modifier->matching.include = include->items;
    modifier->matching.include_count = include->count;
    return modifier;
}

#define LIST_ADD(list, ...) logql_list_add(parser, list, &(__VA_ARGS__), sizeof(__VA_ARGS__))
#define COPY(...) logql_copy(parser, &(__VA_ARGS__), sizeof(__VA_ARGS__))
#define STOP_IF_FAILED                                                                             \
    if (logql_failed(parser)) YYABORT
#define LOG_OF(matchers_, stages_)                                                                 \
    {                                                                                              \
        .matchers = (matchers_) == NULL ? NULL : (matchers_)->items,                               \
        .matcher_count = (matchers_) == NULL ? 0 : (matchers_)->count,                             \
        .stages = (stages_) == NULL ? NULL : (stages_)->items,                                     \
        .stage_count = (stages_) == NULL ? 0 : (stages_)->count,                                   \
    }
#define NONE ((const LogqlList *)NULL)
#define RANGE_OF(matchers_, stages_, range_, unwrap_, offset_)                                     \
    (LogqlRangeParts) {                                                                            \
        .log = LOG_OF(matchers_, stages_), .unwrap = (unwrap_), .range_ns = (range_),              \
        .offset_ns = (offset_)                                                                     \
    }
#define STAGE(kind_, ...) ((LogqlStage){.kind = LOGQL_STAGE_##kind_, __VA_ARGS__})
#define EXTRACTIONS(list)                                                                          \
    .extractions = (list)->items, .count = (list)->count
#define COMPARED(kind_, name_, op_, ...)                                                           \
    logql_new_filter(parser, (LogqlLabelFilter){.kind = LOGQL_FILTER_##kind_, .name = (name_),     \
                                                .compare = (op_), __VA_ARGS__})
}

%union {
    Str str;
    int64_t ns;
    uint64_t bytes;
    LogqlExpr *expr;
    LogqlList *list;
    const Matcher *matcher;
    LogqlStage stage;
    LogqlLabelFilter *filter;
    LogqlLineOp line_op;
    LogqlExtraction extraction;
    LogqlLabelFormat format;
    LogqlNamed named;
    LogqlRangeParts range;
    LogqlUnwrap *unwrap;
    LogqlConversion conversion;
    LogqlGrouping grouping;
    LogqlModifier *modifier;
    LogqlRangeOp range_op;
    LogqlVectorOp vector_op;
    unsigned flags;
}

%token END_OF_INPUT 0 "$end"
%token <bytes> BYTES
%token <str> IDENTIFIER STRING NUMBER FUNCTION_FLAG
%token <ns> DURATION RANGE
%token EQ "=" RE "=~" NRE "!~" NPA "!>" OPEN_BRACE "{" CLOSE_BRACE "}" OPEN_BRACKET "["
%token CLOSE_BRACKET "]" COMMA "," DOT "." PIPE_MATCH "|~" PIPE_EXACT "|=" PIPE_PATTERN "|>"
%token OPEN_PARENTHESIS "(" CLOSE_PARENTHESIS ")" BY "by" WITHOUT "without"
%token COUNT_OVER_TIME RATE RATE_COUNTER SUM SORT SORT_DESC AVG MAX_AGGR "MAX" MIN_AGGR "MIN"
%token COUNT STDDEV STDVAR BOTTOMK TOPK APPROX_TOPK BYTES_OVER_TIME BYTES_RATE BOOL "bool"
%token JSON "json" REGEXP "regexp" LOGFMT "logfmt" PIPE "|" LINE_FMT "line_format"
%token LABEL_FMT "label_format" UNWRAP "unwrap" AVG_OVER_TIME SUM_OVER_TIME MIN_OVER_TIME
%token MAX_OVER_TIME STDVAR_OVER_TIME STDDEV_OVER_TIME QUANTILE_OVER_TIME BYTES_CONV DURATION_CONV
%token DURATION_SECONDS_CONV FIRST_OVER_TIME LAST_OVER_TIME ABSENT_OVER_TIME VECTOR
%token LABEL_REPLACE "label_replace" UNPACK "unpack" OFFSET "offset" PATTERN "pattern" IP "ip"
%token ON "on" IGNORING "ignoring" GROUP_LEFT "group_left" GROUP_RIGHT "group_right"
%token DECOLORIZE "decolorize" DROP "drop" KEEP "keep"

%token OR "or" AND "and" UNLESS "unless" CMP_EQ "==" NEQ "!=" LT "<" LTE "<=" GT ">" GTE ">="
%token ADD "+" SUB "-" MUL "*" DIV "/" MOD "%" POW "^"
%token LEX_ERROR

/* Increasing precedence. */
%left "or"
%left "and" "unless"
%left "==" "!=" "<" "<=" ">" ">="
%left "+" "-"
%left "*" "/" "%"
%right "^"

%type <expr> expr log metric range_aggregation vector_aggregation binary literal label_replace
%type <expr> vector_literal
%type <list> selector matchers pipeline line_filters line_filter choices extractions formats nameds
%type <list> labels
%type <matcher> matcher
%type <stage> stage parser_stage
%type <filter> label_filter ip_filter unit_filter duration_filter bytes_filter number_filter
%type <line_op> line_op
%type <extraction> extraction
%type <format> format
%type <named> named
%type <range> range
%type <unwrap> unwrap
%type <conversion> conversion
%type <grouping> grouping
%type <modifier> modifier bool_modifier matching_modifier
%type <range_op> range_op
%type <vector_op> vector_op
%type <ns> offset
%type <flags> flags

/* What is wanted is shift: a filter behind another goes on for as long as it can, and what stands
 * in parentheses behind group_left and group_right is their labels. */
%expect 40

%start start

%%

start:
    expr                                { parser->result = $1; }
  ;

expr:
    log
  | metric
  ;

log:
    selector                            { $$ = logql_new_log(parser, $1, NULL); STOP_IF_FAILED; }
  | selector pipeline                   { $$ = logql_new_log(parser, $1, $2); STOP_IF_FAILED; }
  | "(" log ")"                         { $$ = $2; }
  ;

metric:
    range_aggregation
  | vector_aggregation
  | binary
  | literal
  | label_replace
  | vector_literal
  | "(" metric ")"                      { $$ = $2; }
  ;

/* ---- selectors ---- */

selector:
    "{" matchers "}"                    { $$ = $2; }
  | "{" "}"                             { $$ = NULL; }
  ;

matchers:
    matcher                             { $$ = LIST_ADD(NULL, *$1); STOP_IF_FAILED; }
  | matchers "," matcher                { $$ = LIST_ADD($1, *$3); STOP_IF_FAILED; }
  ;

matcher:
    IDENTIFIER "=" STRING               { $$ = logql_new_matcher(parser, MATCH_EQUAL, $1, $3); STOP_IF_FAILED; }
  | IDENTIFIER "!=" STRING              { $$ = logql_new_matcher(parser, MATCH_NOT_EQUAL, $1, $3); STOP_IF_FAILED; }
  | IDENTIFIER "=~" STRING              { $$ = logql_new_matcher(parser, MATCH_REGEX, $1, $3); STOP_IF_FAILED; }
  | IDENTIFIER "!~" STRING              { $$ = logql_new_matcher(parser, MATCH_NOT_REGEX, $1, $3); STOP_IF_FAILED; }
  ;

/* ---- stages ---- */

pipeline:
    stage                               { $$ = LIST_ADD(NULL, $1); STOP_IF_FAILED; }
  | pipeline stage                      { $$ = LIST_ADD($1, $2); STOP_IF_FAILED; }
  ;

stage:
    line_filters                        { $$ = STAGE(LINE_FILTER, .as.line_filter = {$1->items, $1->count}); }
  | "|" parser_stage                    { $$ = $2; }
  | "|" label_filter                    { $$ = STAGE(LABEL_FILTER, .as.label_filter = $2); }
  ;

line_filters:
    line_filter
  | line_filters line_filter {
        $$ = $1;
        for (size_t i = 0; i < $2->count; i++)
            $$ = LIST_ADD($$, ((LogqlLineTerm *)$2->items)[i]);
        STOP_IF_FAILED;
    }
  ;

line_filter:
    line_op STRING {
        LogqlList *one = LIST_ADD(NULL, (LogqlLineChoice){$2, false});
        STOP_IF_FAILED;
        $$ = LIST_ADD(NULL, (LogqlLineTerm){$1, one->items, 1}); STOP_IF_FAILED;
    }
  | line_op "ip" "(" STRING ")" {
        LogqlList *one = LIST_ADD(NULL, (LogqlLineChoice){$4, true});
        STOP_IF_FAILED;
        $$ = LIST_ADD(NULL, (LogqlLineTerm){$1, one->items, 1}); STOP_IF_FAILED;
    }
  | line_filter "or" choices            { $$ = logql_add_choices(parser, $1, $3); STOP_IF_FAILED; }
  ;

/* From the last one to the first. */
choices:
    STRING                              { $$ = LIST_ADD(NULL, (LogqlLineChoice){$1, false}); STOP_IF_FAILED; }
  | STRING "or" choices                 { $$ = LIST_ADD($3, (LogqlLineChoice){$1, false}); STOP_IF_FAILED; }
  | "ip" "(" STRING ")"                 { $$ = LIST_ADD(NULL, (LogqlLineChoice){$3, true}); STOP_IF_FAILED; }
  ;

line_op:
    "|~"                                { $$ = LOGQL_LINE_REGEX; }
  | "|="                                { $$ = LOGQL_LINE_CONTAINS; }
  | "|>"                                { $$ = LOGQL_LINE_PATTERN; }
  | "!~"                                { $$ = LOGQL_LINE_REGEX_NOT; }
  | "!="                                { $$ = LOGQL_LINE_CONTAINS_NOT; }
  | "!>"                                { $$ = LOGQL_LINE_PATTERN_NOT; }
  ;

parser_stage:
    "logfmt"                            { $$ = STAGE(LOGFMT, .as.parser = {0}); }
  | "logfmt" flags                      { $$ = STAGE(LOGFMT, .as.parser = {.strict = $2 & 1, .keep_empty = $2 & 2}); }
  | "logfmt" flags extractions          { $$ = STAGE(LOGFMT, .as.parser = {EXTRACTIONS($3), .strict = $2 & 1, .keep_empty = $2 & 2}); }
  | "logfmt" extractions                { $$ = STAGE(LOGFMT, .as.parser = {EXTRACTIONS($2)}); }
  | "json"                              { $$ = STAGE(JSON, .as.parser = {0}); }
  | "json" extractions                  { $$ = STAGE(JSON, .as.parser = {EXTRACTIONS($2)}); }
  | "regexp" STRING                     { $$ = STAGE(REGEXP, .as.pattern = $2); logql_check_regexp(parser, $2); STOP_IF_FAILED; }
  | "unpack"                            { $$ = STAGE(UNPACK, .as.parser = {0}); }
  | "pattern" STRING                    { $$ = STAGE(PATTERN, .as.pattern = $2); logql_check_pattern(parser, $2); STOP_IF_FAILED; }
  | "line_format" STRING                { $$ = STAGE(LINE_FORMAT, .as.line_format = $2); }
  | "decolorize"                        { $$ = STAGE(DECOLORIZE, .as.parser = {0}); }
  | "label_format" formats              { $$ = STAGE(LABEL_FORMAT, .as.label_format = {$2->items, $2->count}); }
  | "drop" nameds                       { $$ = STAGE(DROP, .as.names = {$2->items, $2->count}); }
  | "keep" nameds                       { $$ = STAGE(KEEP, .as.names = {$2->items, $2->count}); }
  ;

flags:
    FUNCTION_FLAG                       { $$ = $1.ptr[2] == 's' ? 1 : 2; }
  | flags FUNCTION_FLAG                 { $$ = $1 | ($2.ptr[2] == 's' ? 1 : 2); }
  ;

extraction:
    IDENTIFIER "=" STRING               { $$ = (LogqlExtraction){$1, $3}; }
  | IDENTIFIER                          { $$ = (LogqlExtraction){$1, $1}; }
  ;

extractions:
    extraction                          { $$ = LIST_ADD(NULL, $1); STOP_IF_FAILED; }
  | extractions "," extraction          { $$ = LIST_ADD($1, $3); STOP_IF_FAILED; }
  ;

format:
    IDENTIFIER "=" IDENTIFIER           { $$ = (LogqlLabelFormat){$1, $3, true}; }
  | IDENTIFIER "=" STRING               { $$ = (LogqlLabelFormat){$1, $3, false}; }
  ;

formats:
    format                              { $$ = LIST_ADD(NULL, $1); STOP_IF_FAILED; }
  | formats "," format                  { $$ = LIST_ADD($1, $3); STOP_IF_FAILED; }
  ;

named:
    IDENTIFIER                          { $$ = (LogqlNamed){$1, NULL}; }
  | matcher                             { $$ = (LogqlNamed){$1->name, $1}; }
  ;

nameds:
    named                               { $$ = LIST_ADD(NULL, $1); STOP_IF_FAILED; }
  | nameds "," named                    { $$ = LIST_ADD($1, $3); STOP_IF_FAILED; }
  ;

/* ---- label filters ---- */

label_filter:
    matcher                             { $$ = logql_new_match_filter(parser, $1); STOP_IF_FAILED; }
  | ip_filter
  | unit_filter
  | number_filter
  | "(" label_filter ")"                { $$ = $2; }
  | label_filter label_filter           { $$ = logql_new_pair(parser, LOGQL_FILTER_AND, $1, $2); STOP_IF_FAILED; }
  | label_filter "and" label_filter     { $$ = logql_new_pair(parser, LOGQL_FILTER_AND, $1, $3); STOP_IF_FAILED; }
  | label_filter "," label_filter       { $$ = logql_new_pair(parser, LOGQL_FILTER_AND, $1, $3); STOP_IF_FAILED; }
  | label_filter "or" label_filter      { $$ = logql_new_pair(parser, LOGQL_FILTER_OR, $1, $3); STOP_IF_FAILED; }
  ;

ip_filter:
    IDENTIFIER "=" "ip" "(" STRING ")"  { $$ = COMPARED(IP, $1, LOGQL_EQUAL, .as.ip = $5); STOP_IF_FAILED; }
  | IDENTIFIER "!=" "ip" "(" STRING ")" { $$ = COMPARED(IP, $1, LOGQL_NOT_EQUAL, .as.ip = $5); STOP_IF_FAILED; }
  ;

unit_filter:
    duration_filter
  | bytes_filter
  ;

duration_filter:
    IDENTIFIER ">" DURATION             { $$ = COMPARED(DURATION, $1, LOGQL_GREATER, .as.duration_ns = $3); STOP_IF_FAILED; }
  | IDENTIFIER ">=" DURATION            { $$ = COMPARED(DURATION, $1, LOGQL_GREATER_EQUAL, .as.duration_ns = $3); STOP_IF_FAILED; }
  | IDENTIFIER "<" DURATION             { $$ = COMPARED(DURATION, $1, LOGQL_LESS, .as.duration_ns = $3); STOP_IF_FAILED; }
  | IDENTIFIER "<=" DURATION            { $$ = COMPARED(DURATION, $1, LOGQL_LESS_EQUAL, .as.duration_ns = $3); STOP_IF_FAILED; }
  | IDENTIFIER "!=" DURATION            { $$ = COMPARED(DURATION, $1, LOGQL_NOT_EQUAL, .as.duration_ns = $3); STOP_IF_FAILED; }
  | IDENTIFIER "=" DURATION             { $$ = COMPARED(DURATION, $1, LOGQL_EQUAL, .as.duration_ns = $3); STOP_IF_FAILED; }
  | IDENTIFIER "==" DURATION            { $$ = COMPARED(DURATION, $1, LOGQL_EQUAL, .as.duration_ns = $3); STOP_IF_FAILED; }
  ;

bytes_filter:
    IDENTIFIER ">" BYTES                { $$ = COMPARED(BYTES, $1, LOGQL_GREATER, .as.bytes = $3); STOP_IF_FAILED; }
  | IDENTIFIER ">=" BYTES               { $$ = COMPARED(BYTES, $1, LOGQL_GREATER_EQUAL, .as.bytes = $3); STOP_IF_FAILED; }
  | IDENTIFIER "<" BYTES                { $$ = COMPARED(BYTES, $1, LOGQL_LESS, .as.bytes = $3); STOP_IF_FAILED; }
  | IDENTIFIER "<=" BYTES               { $$ = COMPARED(BYTES, $1, LOGQL_LESS_EQUAL, .as.bytes = $3); STOP_IF_FAILED; }
  | IDENTIFIER "!=" BYTES               { $$ = COMPARED(BYTES, $1, LOGQL_NOT_EQUAL, .as.bytes = $3); STOP_IF_FAILED; }
  | IDENTIFIER "=" BYTES                { $$ = COMPARED(BYTES, $1, LOGQL_EQUAL, .as.bytes = $3); STOP_IF_FAILED; }
  | IDENTIFIER "==" BYTES               { $$ = COMPARED(BYTES, $1, LOGQL_EQUAL, .as.bytes = $3); STOP_IF_FAILED; }
  ;

number_filter:
    IDENTIFIER ">" literal              { $$ = logql_new_number_filter(parser, $1, LOGQL_GREATER, $3); STOP_IF_FAILED; }
  | IDENTIFIER ">=" literal             { $$ = logql_new_number_filter(parser, $1, LOGQL_GREATER_EQUAL, $3); STOP_IF_FAILED; }
  | IDENTIFIER "<" literal              { $$ = logql_new_number_filter(parser, $1, LOGQL_LESS, $3); STOP_IF_FAILED; }
  | IDENTIFIER "<=" literal             { $$ = logql_new_number_filter(parser, $1, LOGQL_LESS_EQUAL, $3); STOP_IF_FAILED; }
  | IDENTIFIER "!=" literal             { $$ = logql_new_number_filter(parser, $1, LOGQL_NOT_EQUAL, $3); STOP_IF_FAILED; }
  | IDENTIFIER "=" literal              { $$ = logql_new_number_filter(parser, $1, LOGQL_EQUAL, $3); STOP_IF_FAILED; }
  | IDENTIFIER "==" literal             { $$ = logql_new_number_filter(parser, $1, LOGQL_EQUAL, $3); STOP_IF_FAILED; }
  ;

/* ---- ranges ---- */

range:
    selector RANGE                                { $$ = RANGE_OF($1, NONE, $2, NULL, 0); }
  | selector RANGE offset                         { $$ = RANGE_OF($1, NONE, $2, NULL, $3); }
  | "(" selector ")" RANGE                        { $$ = RANGE_OF($2, NONE, $4, NULL, 0); }
  | "(" selector ")" RANGE offset                 { $$ = RANGE_OF($2, NONE, $4, NULL, $5); }
  | selector RANGE unwrap                         { $$ = RANGE_OF($1, NONE, $2, $3, 0); }
  | selector RANGE offset unwrap                  { $$ = RANGE_OF($1, NONE, $2, $4, $3); }
  | "(" selector ")" RANGE unwrap                 { $$ = RANGE_OF($2, NONE, $4, $5, 0); }
  | "(" selector ")" RANGE offset unwrap          { $$ = RANGE_OF($2, NONE, $4, $6, $5); }
  | selector unwrap RANGE                         { $$ = RANGE_OF($1, NONE, $3, $2, 0); }
  | selector unwrap RANGE offset                  { $$ = RANGE_OF($1, NONE, $3, $2, $4); }
  | "(" selector unwrap ")" RANGE                 { $$ = RANGE_OF($2, NONE, $5, $3, 0); }
  | "(" selector unwrap ")" RANGE offset          { $$ = RANGE_OF($2, NONE, $5, $3, $6); }
  | selector pipeline RANGE                       { $$ = RANGE_OF($1, $2, $3, NULL, 0); }
  | selector pipeline RANGE offset                { $$ = RANGE_OF($1, $2, $3, NULL, $4); }
  | "(" selector pipeline ")" RANGE               { $$ = RANGE_OF($2, $3, $5, NULL, 0); }
  | "(" selector pipeline ")" RANGE offset        { $$ = RANGE_OF($2, $3, $5, NULL, $6); }
  | selector pipeline unwrap RANGE                { $$ = RANGE_OF($1, $2, $4, $3, 0); }
  | selector pipeline unwrap RANGE offset         { $$ = RANGE_OF($1, $2, $4, $3, $5); }
  | "(" selector pipeline unwrap ")" RANGE        { $$ = RANGE_OF($2, $3, $6, $4, 0); }
  | "(" selector pipeline unwrap ")" RANGE offset { $$ = RANGE_OF($2, $3, $6, $4, $7); }
  | selector RANGE pipeline                       { $$ = RANGE_OF($1, $3, $2, NULL, 0); }
  | selector RANGE offset pipeline                { $$ = RANGE_OF($1, $4, $2, NULL, $3); }
  | selector RANGE pipeline unwrap                { $$ = RANGE_OF($1, $3, $2, $4, 0); }
  | selector RANGE offset pipeline unwrap         { $$ = RANGE_OF($1, $4, $2, $5, $3); }
  | "(" range ")"                                 { $$ = $2; }
  ;

unwrap:
    "|" "unwrap" IDENTIFIER             { $$ = logql_new_unwrap(parser, $3, LOGQL_CONVERT_NONE); STOP_IF_FAILED; }
  | "|" "unwrap" conversion "(" IDENTIFIER ")" {
        $$ = logql_new_unwrap(parser, $5, $3); STOP_IF_FAILED;
    }
  | unwrap "|" label_filter             { $$ = logql_unwrap_add(parser, $1, $3); STOP_IF_FAILED; }
  ;

conversion:
    BYTES_CONV                          { $$ = LOGQL_CONVERT_BYTES; }
  | DURATION_CONV                       { $$ = LOGQL_CONVERT_DURATION; }
  | DURATION_SECONDS_CONV               { $$ = LOGQL_CONVERT_DURATION_SECONDS; }
  ;

offset:
    "offset" DURATION                   { $$ = $2; }
  ;

/* ---- aggregations ---- */

range_aggregation:
    range_op "(" range ")"              { $$ = logql_new_range(parser, $1, &$3, NULL, NULL); STOP_IF_FAILED; }
  | range_op "(" NUMBER "," range ")"   { $$ = logql_new_range(parser, $1, &$5, &$3, NULL); STOP_IF_FAILED; }
  | range_op "(" range ")" grouping     { $$ = logql_new_range(parser, $1, &$3, NULL, &$5); STOP_IF_FAILED; }
  | range_op "(" NUMBER "," range ")" grouping {
        $$ = logql_new_range(parser, $1, &$5, &$3, &$7); STOP_IF_FAILED;
    }
  ;

vector_aggregation:
    vector_op "(" metric ")"            { $$ = logql_new_vector(parser, $1, $3, NULL, NULL); STOP_IF_FAILED; }
  | vector_op grouping "(" metric ")"   { $$ = logql_new_vector(parser, $1, $4, NULL, &$2); STOP_IF_FAILED; }
  | vector_op "(" metric ")" grouping   { $$ = logql_new_vector(parser, $1, $3, NULL, &$5); STOP_IF_FAILED; }
  | vector_op "(" NUMBER "," metric ")" { $$ = logql_new_vector(parser, $1, $5, &$3, NULL); STOP_IF_FAILED; }
  | vector_op "(" NUMBER "," metric ")" grouping {
        $$ = logql_new_vector(parser, $1, $5, &$3, &$7); STOP_IF_FAILED;
    }
  | vector_op grouping "(" NUMBER "," metric ")" {
        $$ = logql_new_vector(parser, $1, $6, &$4, &$2); STOP_IF_FAILED;
    }
  ;

grouping:
    "by" "(" labels ")"                 { $$ = (LogqlGrouping){true, false, $3->items, $3->count}; }
  | "without" "(" labels ")"            { $$ = (LogqlGrouping){true, true, $3->items, $3->count}; }
  | "by" "(" ")"                        { $$ = (LogqlGrouping){true, false, NULL, 0}; }
  | "without" "(" ")"                   { $$ = (LogqlGrouping){true, true, NULL, 0}; }
  ;

labels:
    IDENTIFIER                          { $$ = LIST_ADD(NULL, $1); STOP_IF_FAILED; }
  | labels "," IDENTIFIER               { $$ = LIST_ADD($1, $3); STOP_IF_FAILED; }
  ;

label_replace:
    "label_replace" "(" metric "," STRING "," STRING "," STRING "," STRING ")" {
        $$ = logql_new_label_replace(parser, $3, $5, $7, $9, $11); STOP_IF_FAILED;
    }
  ;

/* ---- operators ---- */

binary:
    expr "or" modifier expr             { $$ = logql_new_binary(parser, LOGQL_OR, $1, $3, $4); STOP_IF_FAILED; }
  | expr "and" modifier expr            { $$ = logql_new_binary(parser, LOGQL_AND, $1, $3, $4); STOP_IF_FAILED; }
  | expr "unless" modifier expr         { $$ = logql_new_binary(parser, LOGQL_UNLESS, $1, $3, $4); STOP_IF_FAILED; }
  | expr "+" modifier expr              { $$ = logql_new_binary(parser, LOGQL_ADD, $1, $3, $4); STOP_IF_FAILED; }
  | expr "-" modifier expr              { $$ = logql_new_binary(parser, LOGQL_SUB, $1, $3, $4); STOP_IF_FAILED; }
  | expr "*" modifier expr              { $$ = logql_new_binary(parser, LOGQL_MUL, $1, $3, $4); STOP_IF_FAILED; }
  | expr "/" modifier expr              { $$ = logql_new_binary(parser, LOGQL_DIV, $1, $3, $4); STOP_IF_FAILED; }
  | expr "%" modifier expr              { $$ = logql_new_binary(parser, LOGQL_MOD, $1, $3, $4); STOP_IF_FAILED; }
  | expr "^" modifier expr              { $$ = logql_new_binary(parser, LOGQL_POW, $1, $3, $4); STOP_IF_FAILED; }
  | expr "==" modifier expr             { $$ = logql_new_binary(parser, LOGQL_COMPARE_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr "!=" modifier expr             { $$ = logql_new_binary(parser, LOGQL_COMPARE_NOT_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr ">" modifier expr              { $$ = logql_new_binary(parser, LOGQL_COMPARE_GREATER, $1, $3, $4); STOP_IF_FAILED; }
  | expr ">=" modifier expr             { $$ = logql_new_binary(parser, LOGQL_COMPARE_GREATER_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr "<" modifier expr              { $$ = logql_new_binary(parser, LOGQL_COMPARE_LESS, $1, $3, $4); STOP_IF_FAILED; }
  | expr "<=" modifier expr             { $$ = logql_new_binary(parser, LOGQL_COMPARE_LESS_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  ;

bool_modifier:
    %empty                              { $$ = COPY((LogqlModifier){0}); STOP_IF_FAILED; }
  | "bool"                              { $$ = COPY((LogqlModifier){.returns_bool = true}); STOP_IF_FAILED; }
  ;

matching_modifier:
    bool_modifier "on" "(" labels ")" {
        $$ = $1;
        $$->matching.on = true;
        $$->matching.labels = $4->items;
        $$->matching.label_count = $4->count;
    }
  | bool_modifier "on" "(" ")"          { $$ = $1; $$->matching.on = true; }
  | bool_modifier "ignoring" "(" labels ")" {
        $$ = $1;
        $$->matching.labels = $4->items;
        $$->matching.label_count = $4->count;
    }
  | bool_modifier "ignoring" "(" ")"    { $$ = $1; }
  ;

modifier:
    bool_modifier
  | matching_modifier
  | matching_modifier "group_left"               { $$ = grouped($1, LOGQL_MANY_TO_ONE, NULL); }
  | matching_modifier "group_left" "(" ")"       { $$ = grouped($1, LOGQL_MANY_TO_ONE, NULL); }
  | matching_modifier "group_left" "(" labels ")" { $$ = grouped($1, LOGQL_MANY_TO_ONE, $4); }
  | matching_modifier "group_right"              { $$ = grouped($1, LOGQL_ONE_TO_MANY, NULL); }
  | matching_modifier "group_right" "(" ")"      { $$ = grouped($1, LOGQL_ONE_TO_MANY, NULL); }
  | matching_modifier "group_right" "(" labels ")" { $$ = grouped($1, LOGQL_ONE_TO_MANY, $4); }
  ;

literal:
    NUMBER                              { $$ = logql_new_literal(parser, $1, false); STOP_IF_FAILED; }
  | "+" NUMBER                          { $$ = logql_new_literal(parser, $2, false); STOP_IF_FAILED; }
  | "-" NUMBER                          { $$ = logql_new_literal(parser, $2, true); STOP_IF_FAILED; }
  ;

vector_literal:
    VECTOR "(" NUMBER ")"               { $$ = logql_new_vector_literal(parser, $3); STOP_IF_FAILED; }
  ;

vector_op:
    SUM                                 { $$ = LOGQL_SUM; }
  | AVG                                 { $$ = LOGQL_AVG; }
  | COUNT                               { $$ = LOGQL_COUNT; }
  | MAX_AGGR                            { $$ = LOGQL_MAX; }
  | MIN_AGGR                            { $$ = LOGQL_MIN; }
  | STDDEV                              { $$ = LOGQL_STDDEV; }
  | STDVAR                              { $$ = LOGQL_STDVAR; }
  | BOTTOMK                             { $$ = LOGQL_BOTTOMK; }
  | TOPK                                { $$ = LOGQL_TOPK; }
  | SORT                                { $$ = LOGQL_SORT; }
  | SORT_DESC                           { $$ = LOGQL_SORT_DESC; }
  | APPROX_TOPK                         { $$ = LOGQL_APPROX_TOPK; }
  ;

range_op:
    COUNT_OVER_TIME                     { $$ = LOGQL_COUNT_OVER_TIME; }
  | RATE                                { $$ = LOGQL_RATE; }
  | RATE_COUNTER                        { $$ = LOGQL_RATE_COUNTER; }
  | BYTES_OVER_TIME                     { $$ = LOGQL_BYTES_OVER_TIME; }
  | BYTES_RATE                          { $$ = LOGQL_BYTES_RATE; }
  | AVG_OVER_TIME                       { $$ = LOGQL_AVG_OVER_TIME; }
  | SUM_OVER_TIME                       { $$ = LOGQL_SUM_OVER_TIME; }
  | MIN_OVER_TIME                       { $$ = LOGQL_MIN_OVER_TIME; }
  | MAX_OVER_TIME                       { $$ = LOGQL_MAX_OVER_TIME; }
  | STDVAR_OVER_TIME                    { $$ = LOGQL_STDVAR_OVER_TIME; }
  | STDDEV_OVER_TIME                    { $$ = LOGQL_STDDEV_OVER_TIME; }
  | QUANTILE_OVER_TIME                  { $$ = LOGQL_QUANTILE_OVER_TIME; }
  | FIRST_OVER_TIME                     { $$ = LOGQL_FIRST_OVER_TIME; }
  | LAST_OVER_TIME                      { $$ = LOGQL_LAST_OVER_TIME; }
  | ABSENT_OVER_TIME                    { $$ = LOGQL_ABSENT_OVER_TIME; }
  ;

%%

/* Loki's words: the token, and what might have stood there when that is four things at most. */
static int yyreport_syntax_error(const yypcontext_t *context, LogqlScanner scanner,
                                 LogqlParser *parser) {
    enum { EXPECTED_MAX = 4 };
    yysymbol_kind_t expected[EXPECTED_MAX + 1];
    int count = yypcontext_expected_tokens(context, expected, ARRAY_LEN(expected)), known = 0;
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};

    (void)scanner;
    /* That the text might have ended is never said. */
    for (int i = 0; i < count; i++)
        if (expected[i] != YYSYMBOL_YYEOF) expected[known++] = expected[i];
    buf_init(&text, 512);
    buf_printf(&text, "unexpected %s", yysymbol_name(yypcontext_token(context)));
    for (int i = 0; i < known && known <= EXPECTED_MAX; i++)
        buf_printf(&text, "%s %s", i == 0 ? ", expecting" : " or", yysymbol_name(expected[i]));
    logql_fail_here(parser, ERR_INVALID, "syntax error: " STR_FMT, STR_ARG(buf_str(&text)));
    return 0;
}
