/*
 * promql.y: PromQL's grammar, as of Prometheus 3. An error rule says what was expected where; the
 * first error ends the parse.
 */
%define api.pure full
%define api.prefix {promql_yy}
%define parse.error verbose
%param { PromqlScanner scanner }
%parse-param { PromqlParser *parser }

%code requires {
#include "querier/promql/build.h"
}

%code provides {
/* The name by which flex's bison bridge knows it. */
#define YYSTYPE PROMQL_YYSTYPE
}

%code {
#include "querier/promql/promql.lex.h"

static void promql_yyerror(PromqlScanner scanner, PromqlParser *parser, const char *message) {
    (void)scanner;
    /* Which token it was is known; what was expected there, an error rule will say. */
    if (strcmp(message, "memory exhausted") == 0)
        promql_fail(parser, ERR_INVALID, parser->last.range, "the expression is too complex");
}

#define GIVE_UP(context, expected)                                                                 \
    do {                                                                                           \
        promql_unexpected(parser, context, expected);                                              \
        YYABORT;                                                                                   \
    } while (0)
#define SIGNED(op, value) ((op).text.ptr[0] == '-' ? -(value) : (value))
#define STOP_IF_FAILED                                                                             \
    if (promql_failed(parser)) YYABORT
}

%union {
    PromqlItem item;
    PromqlExpr *expr;
    PromqlNames *names;
    PromqlArgs *args;
    PromqlMatchers *matchers;
    Matcher matcher;
    PromqlGrouping *grouping;
    PromqlModifier *modifier;
    MatchOp match_op;
    double number;
}

%token START_EXPRESSION START_SELECTOR END_OF_INPUT LEX_ERROR
%token <item> IDENTIFIER METRIC_IDENTIFIER NUMBER DURATION STRING
%token <item> LEFT_PAREN RIGHT_PAREN LEFT_BRACE RIGHT_BRACE LEFT_BRACKET RIGHT_BRACKET
%token <item> COMMA COLON EQL
%token <item> ADD SUB MUL DIV MOD POW ATAN2 EQLC NEQ LSS GTR LTE GTE TRIM_UPPER TRIM_LOWER
%token <item> EQL_REGEX NEQ_REGEX LAND LOR LUNLESS AT
%token <item> SUM AVG COUNT MIN_AGGR MAX_AGGR GROUP STDDEV STDVAR TOPK BOTTOMK COUNT_VALUES
%token <item> QUANTILE LIMITK LIMIT_RATIO
%token <item> BOOL BY WITHOUT ON IGNORING GROUP_LEFT GROUP_RIGHT FILL FILL_LEFT FILL_RIGHT
%token <item> OFFSET SMOOTHED ANCHORED
%token <item> START END STEP RANGE MAX_OF MIN_OF

%type <expr> expr aggregate_expr binary_expr function_call paren_expr unary_expr vector_selector
%type <expr> matrix_selector subquery_expr offset_expr at_expr extended_expr number_literal
%type <expr> duration positive_duration offset_duration offset_arithmetic paren_duration
%type <expr> duration_call signed_duration
%type <item> aggregate_op metric_identifier maybe_label grouping_label callable string_identifier
%type <item> min_or_max unary_op
%type <args> call_body call_args
%type <grouping> aggregate_modifier
%type <names> grouping_labels label_list maybe_grouping_labels
%type <modifier> bin_modifier bool_modifier on_or_ignoring group_modifiers
%type <matchers> label_matchers matcher_list
%type <matcher> label_matcher
%type <match_op> match_op
%type <number> fill_value at_time

/* Increasing precedence. An offset that is arithmetic goes on for as long as it can. */
%precedence WHOLE_OFFSET
%left LOR
%left LAND LUNLESS
%left EQLC GTE GTR LSS LTE NEQ TRIM_UPPER TRIM_LOWER
%left ADD SUB
%left MUL DIV MOD ATAN2
%right POW
%precedence OFFSET AT ANCHORED SMOOTHED
/* A bracket always belongs to what stands before it. */
%precedence LEFT_BRACKET

/* What stands in parentheses behind group_left and group_right is their labels: shift is what is
 * wanted. */
%expect 7

%start start

%%

start:
    START_EXPRESSION END_OF_INPUT       { promql_fail(parser, ERR_INVALID, (PromqlRange){0, 0}, "no expression found in input"); YYABORT; }
  | START_EXPRESSION expr               { parser->result = $2; }
  | START_SELECTOR vector_selector      { parser->result = $2; }
  | start END_OF_INPUT
  | error                               { GIVE_UP(NULL, NULL); }
  ;

expr:
    aggregate_expr | binary_expr | function_call | matrix_selector | number_literal | offset_expr
  | extended_expr | paren_expr | subquery_expr | unary_expr | vector_selector | at_expr
  | STRING                              { $$ = promql_new_string(parser, $1); STOP_IF_FAILED; }
  ;

/* ---- aggregations ---- */

aggregate_expr:
    aggregate_op aggregate_modifier call_body {
        $$ = promql_new_aggregate(parser, $1, $2, $3, $3->end); STOP_IF_FAILED;
    }
  | aggregate_op call_body aggregate_modifier {
        $$ = promql_new_aggregate(parser, $1, $3, $2, parser->last_closing); STOP_IF_FAILED;
    }
  | aggregate_op call_body {
        $$ = promql_new_aggregate(parser, $1, NULL, $2, $2->end); STOP_IF_FAILED;
    }
  | aggregate_op error                  { GIVE_UP("aggregation", NULL); }
  ;

aggregate_op:
    SUM | AVG | COUNT | MIN_AGGR | MAX_AGGR | GROUP | STDDEV | STDVAR | TOPK | BOTTOMK
  | COUNT_VALUES | QUANTILE | LIMITK | LIMIT_RATIO
  ;

aggregate_modifier:
    BY grouping_labels                  { $$ = promql_new_grouping(parser, $2, false); STOP_IF_FAILED; }
  | WITHOUT grouping_labels             { $$ = promql_new_grouping(parser, $2, true); STOP_IF_FAILED; }
  ;

grouping_labels:
    LEFT_PAREN label_list RIGHT_PAREN       { $$ = $2; }
  | LEFT_PAREN label_list COMMA RIGHT_PAREN { $$ = $2; }
  | LEFT_PAREN RIGHT_PAREN                  { $$ = NULL; }
  | error                                   { GIVE_UP("grouping opts", "\"(\""); }
  ;

label_list:
    label_list COMMA grouping_label     { $$ = promql_names_add(parser, $1, $3.text); STOP_IF_FAILED; }
  | grouping_label                      { $$ = promql_names_add(parser, NULL, $1.text); STOP_IF_FAILED; }
  | label_list error                    { GIVE_UP("grouping opts", "\",\" or \")\""); }
  ;

grouping_label:
    maybe_label                         {
        promql_check_label(parser, $1, false);
        $$ = $1; STOP_IF_FAILED;
    }
  | STRING                              {
        $$ = $1; $$.text = promql_unquote(parser, $1);
        promql_check_label(parser, $$, true); STOP_IF_FAILED;
    }
  | error                               { GIVE_UP("grouping opts", "label"); }
  ;

maybe_label:
    AVG | BOOL | BOTTOMK | BY | COUNT | COUNT_VALUES | GROUP | GROUP_LEFT | GROUP_RIGHT | FILL
  | FILL_LEFT | FILL_RIGHT | IDENTIFIER | IGNORING | LAND | LOR | LUNLESS | MAX_AGGR
  | METRIC_IDENTIFIER | MIN_AGGR | OFFSET | ON | QUANTILE | STDDEV | STDVAR | SUM | TOPK | START
  | END | ATAN2 | LIMITK | LIMIT_RATIO | STEP | RANGE | ANCHORED | SMOOTHED | MAX_OF | MIN_OF
  ;

/* ---- binary operators ---- */

binary_expr:
    expr ADD bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_ADD, $1, $3, $4); STOP_IF_FAILED; }
  | expr SUB bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_SUB, $1, $3, $4); STOP_IF_FAILED; }
  | expr MUL bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_MUL, $1, $3, $4); STOP_IF_FAILED; }
  | expr DIV bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_DIV, $1, $3, $4); STOP_IF_FAILED; }
  | expr MOD bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_MOD, $1, $3, $4); STOP_IF_FAILED; }
  | expr POW bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_POW, $1, $3, $4); STOP_IF_FAILED; }
  | expr ATAN2 bin_modifier expr      { $$ = promql_new_binary(parser, PROMQL_ATAN2, $1, $3, $4); STOP_IF_FAILED; }
  | expr EQLC bin_modifier expr       { $$ = promql_new_binary(parser, PROMQL_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr NEQ bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_NOT_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr LSS bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_LESS, $1, $3, $4); STOP_IF_FAILED; }
  | expr GTR bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_GREATER, $1, $3, $4); STOP_IF_FAILED; }
  | expr LTE bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_LESS_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr GTE bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_GREATER_EQUAL, $1, $3, $4); STOP_IF_FAILED; }
  | expr TRIM_UPPER bin_modifier expr { $$ = promql_new_binary(parser, PROMQL_TRIM_UPPER, $1, $3, $4); STOP_IF_FAILED; }
  | expr TRIM_LOWER bin_modifier expr { $$ = promql_new_binary(parser, PROMQL_TRIM_LOWER, $1, $3, $4); STOP_IF_FAILED; }
  | expr LAND bin_modifier expr       { $$ = promql_new_binary(parser, PROMQL_AND, $1, $3, $4); STOP_IF_FAILED; }
  | expr LOR bin_modifier expr        { $$ = promql_new_binary(parser, PROMQL_OR, $1, $3, $4); STOP_IF_FAILED; }
  | expr LUNLESS bin_modifier expr    { $$ = promql_new_binary(parser, PROMQL_UNLESS, $1, $3, $4); STOP_IF_FAILED; }
  ;

bin_modifier:
    group_modifiers
  | group_modifiers FILL fill_value     {
        $1->matching.has_fill_left = $1->matching.has_fill_right = true;
        $1->matching.fill_left = $1->matching.fill_right = $3;
        $$ = $1;
    }
  | group_modifiers FILL_LEFT fill_value {
        $1->matching.has_fill_left = true;
        $1->matching.fill_left = $3;
        $$ = $1;
    }
  | group_modifiers FILL_RIGHT fill_value {
        $1->matching.has_fill_right = true;
        $1->matching.fill_right = $3;
        $$ = $1;
    }
  | group_modifiers FILL_LEFT fill_value FILL_RIGHT fill_value {
        $1->matching.has_fill_left = $1->matching.has_fill_right = true;
        $1->matching.fill_left = $3;
        $1->matching.fill_right = $5;
        $$ = $1;
    }
  | group_modifiers FILL_RIGHT fill_value FILL_LEFT fill_value {
        $1->matching.has_fill_left = $1->matching.has_fill_right = true;
        $1->matching.fill_right = $3;
        $1->matching.fill_left = $5;
        $$ = $1;
    }
  ;

fill_value:
    LEFT_PAREN number_literal RIGHT_PAREN          { $$ = $2->as.number.value; }
  | LEFT_PAREN unary_op number_literal RIGHT_PAREN { $$ = SIGNED($2, $3->as.number.value); }
  ;

group_modifiers:
    bool_modifier
  | on_or_ignoring
  | on_or_ignoring GROUP_LEFT maybe_grouping_labels {
        $1->matching.cardinality = PROMQL_MANY_TO_ONE;
        if ($3 != NULL) {
            $1->matching.include = $3->items;
            $1->matching.include_count = $3->count;
        }
        $$ = $1;
    }
  | on_or_ignoring GROUP_RIGHT maybe_grouping_labels {
        $1->matching.cardinality = PROMQL_ONE_TO_MANY;
        if ($3 != NULL) {
            $1->matching.include = $3->items;
            $1->matching.include_count = $3->count;
        }
        $$ = $1;
    }
  ;

on_or_ignoring:
    bool_modifier ON grouping_labels    {
        $1->matching.on = $1->matching.has_labels = true;
        if ($3 != NULL) {
            $1->matching.labels = $3->items;
            $1->matching.label_count = $3->count;
        }
        $$ = $1;
    }
  | bool_modifier IGNORING grouping_labels {
        $1->matching.has_labels = true;
        if ($3 != NULL) {
            $1->matching.labels = $3->items;
            $1->matching.label_count = $3->count;
        }
        $$ = $1;
    }
  ;

bool_modifier:
    %empty                              { $$ = promql_new_modifier(parser, false); STOP_IF_FAILED; }
  | BOOL                                { $$ = promql_new_modifier(parser, true); STOP_IF_FAILED; }
  ;

maybe_grouping_labels:
    %empty                              { $$ = NULL; }
  | grouping_labels
  ;

/* ---- calls, parentheses, unary operators ---- */

function_call:
    callable call_body                  { $$ = promql_new_call(parser, $1, $2); STOP_IF_FAILED; }
  ;

unary_op: ADD | SUB ;

callable: IDENTIFIER | START | END | STEP | RANGE | MAX_OF | MIN_OF ;

call_body:
    LEFT_PAREN call_args RIGHT_PAREN    { $$ = $2; $$->end = $3.range.end; }
  | LEFT_PAREN RIGHT_PAREN              { $$ = promql_args_new(parser, $2); STOP_IF_FAILED; }
  ;

call_args:
    call_args COMMA expr                { $$ = promql_args_add(parser, $1, $3); STOP_IF_FAILED; }
  | expr                                { $$ = promql_args_add(parser, NULL, $1); STOP_IF_FAILED; }
  | call_args COMMA                     {
        promql_fail(parser, ERR_INVALID, $2.range, "trailing commas not allowed in function call args");
        YYABORT;
    }
  ;

paren_expr:
    LEFT_PAREN expr RIGHT_PAREN         { $$ = promql_new_paren(parser, $1, $2, $3); STOP_IF_FAILED; }
  ;

unary_expr:
    unary_op expr %prec MUL             { $$ = promql_new_unary(parser, $1, $2); STOP_IF_FAILED; }
  ;

number_literal:
    NUMBER                              { $$ = promql_new_number(parser, $1); STOP_IF_FAILED; }
  | DURATION                            { $$ = promql_new_duration_literal(parser, $1); STOP_IF_FAILED; }
  ;

/* ---- selectors ---- */

vector_selector:
    metric_identifier label_matchers    { $$ = promql_new_selector(parser, &$1, $2); STOP_IF_FAILED; }
  | metric_identifier                   { $$ = promql_new_selector(parser, &$1, NULL); STOP_IF_FAILED; }
  | label_matchers                      { $$ = promql_new_selector(parser, NULL, $1); STOP_IF_FAILED; }
  ;

metric_identifier:
    AVG | BOTTOMK | BY | COUNT | COUNT_VALUES | FILL | FILL_LEFT | FILL_RIGHT | GROUP | IDENTIFIER
  | LAND | LOR | LUNLESS | MAX_AGGR | METRIC_IDENTIFIER | MIN_AGGR | OFFSET | QUANTILE | STDDEV
  | STDVAR | SUM | TOPK | WITHOUT | START | END | LIMITK | LIMIT_RATIO | STEP | RANGE | ANCHORED
  | SMOOTHED | MAX_OF | MIN_OF
  ;

label_matchers:
    LEFT_BRACE matcher_list RIGHT_BRACE {
        $2->range = (PromqlRange){$1.range.start, $3.range.end};
        $$ = $2;
    }
  | LEFT_BRACE matcher_list COMMA RIGHT_BRACE {
        $2->range = (PromqlRange){$1.range.start, $4.range.end};
        $$ = $2;
    }
  | LEFT_BRACE RIGHT_BRACE              {
        $$ = arena_zalloc(parser->arena, sizeof *$$);
        if ($$ == NULL) {
            promql_fail(parser, ERR_LIMIT, $1.range, "out of memory");
            YYABORT;
        }
        $$->range = (PromqlRange){$1.range.start, $2.range.end};
    }
  ;

matcher_list:
    matcher_list COMMA label_matcher    { $$ = promql_matchers_add(parser, $1, $3); STOP_IF_FAILED; }
  | label_matcher                       { $$ = promql_matchers_add(parser, NULL, $1); STOP_IF_FAILED; }
  | matcher_list error                  { GIVE_UP("label matching", "\",\" or \"}\""); }
  ;

label_matcher:
    IDENTIFIER match_op STRING          { $$ = promql_new_matcher(parser, $1, $2, $3); STOP_IF_FAILED; }
  | string_identifier match_op STRING   { $$ = promql_new_matcher(parser, $1, $2, $3); STOP_IF_FAILED; }
  | string_identifier                   { $$ = promql_new_name_matcher(parser, $1); STOP_IF_FAILED; }
  | string_identifier match_op error    { GIVE_UP("label matching", "string"); }
  | IDENTIFIER match_op error           { GIVE_UP("label matching", "string"); }
  | IDENTIFIER error                    { GIVE_UP("label matching", "label matching operator"); }
  | error                               { GIVE_UP("label matching", "identifier or \"}\""); }
  ;

string_identifier:
    STRING                              { $$ = $1; $$.text = promql_unquote(parser, $1); STOP_IF_FAILED; }
  ;

match_op:
    EQL                                 { $$ = MATCH_EQUAL; }
  | NEQ                                 { $$ = MATCH_NOT_EQUAL; }
  | EQL_REGEX                           { $$ = MATCH_REGEX; }
  | NEQ_REGEX                           { $$ = MATCH_NOT_REGEX; }
  ;

/* ---- offset, @, anchored, smoothed ---- */

offset_expr:
    expr OFFSET offset_duration         { promql_set_offset(parser, $1, $3); $$ = $1; STOP_IF_FAILED; }
  | expr OFFSET error                   { GIVE_UP("offset", "number, duration, step(), or range()"); }
  ;

at_expr:
    expr AT at_time                     { promql_set_at(parser, $1, PROMQL_AT_TIME, $3); $$ = $1; STOP_IF_FAILED; }
  | expr AT START LEFT_PAREN RIGHT_PAREN { promql_set_at(parser, $1, PROMQL_AT_START, 0); $$ = $1; STOP_IF_FAILED; }
  | expr AT END LEFT_PAREN RIGHT_PAREN  { promql_set_at(parser, $1, PROMQL_AT_END, 0); $$ = $1; STOP_IF_FAILED; }
  | expr AT error                       { GIVE_UP("@", "timestamp"); }
  ;

at_time:
    number_literal                      { $$ = $1->as.number.value; }
  | unary_op number_literal             { $$ = SIGNED($1, $2->as.number.value); }
  ;

extended_expr:
    expr ANCHORED                       { promql_set_extended(parser, $1, true); $$ = $1; STOP_IF_FAILED; }
  | expr SMOOTHED                       { promql_set_extended(parser, $1, false); $$ = $1; STOP_IF_FAILED; }
  ;

/* ---- ranges and subqueries ---- */

matrix_selector:
    expr LEFT_BRACKET positive_duration RIGHT_BRACKET {
        $$ = promql_new_matrix(parser, $1, $2, $3, $4); STOP_IF_FAILED;
    }
  ;

subquery_expr:
    expr LEFT_BRACKET positive_duration COLON positive_duration RIGHT_BRACKET {
        $$ = promql_new_subquery(parser, $1, $3, $5, $6); STOP_IF_FAILED;
    }
  | expr LEFT_BRACKET positive_duration COLON RIGHT_BRACKET {
        $$ = promql_new_subquery(parser, $1, $3, NULL, $5); STOP_IF_FAILED;
    }
  | expr LEFT_BRACKET positive_duration COLON positive_duration error { GIVE_UP("subquery selector", "\"]\""); }
  | expr LEFT_BRACKET positive_duration COLON error {
        GIVE_UP("subquery selector", "number, duration, step(), range(), or \"]\"");
    }
  | expr LEFT_BRACKET positive_duration error { GIVE_UP("subquery or range", "\":\" or \"]\""); }
  | expr LEFT_BRACKET error             {
        GIVE_UP("subquery or range selector", "number, duration, step(), or range()");
    }
  ;

/* ---- durations ---- */

positive_duration:
    duration                            { $$ = promql_positive_duration(parser, $1); STOP_IF_FAILED; }
  ;

/* An offset ends before a binary operator: `foo offset 2 ^ 2` is `(foo offset 2) ^ 2`. Only one that
 * begins with a parenthesis or two signs is arithmetic: `foo offset (2) ^ 2` is `foo offset 4`. */
offset_duration:
    number_literal                      { $$ = promql_check_duration(parser, $1, $1->range); STOP_IF_FAILED; }
  | unary_op number_literal             { $$ = promql_sign_duration(parser, $1, $2); STOP_IF_FAILED; }
  | duration_call
  | unary_op duration_call              { $$ = promql_new_signed(parser, $1, $2); STOP_IF_FAILED; }
  | unary_op LEFT_PAREN duration RIGHT_PAREN {
        $$ = promql_sign_duration(parser, $1, promql_wrap_duration(parser, $2, $3, $4)); STOP_IF_FAILED;
    }
  | offset_arithmetic                   %prec WHOLE_OFFSET
  ;

offset_arithmetic:
    paren_duration
  | unary_op signed_duration            { $$ = promql_sign_duration(parser, $1, $2); STOP_IF_FAILED; }
  | offset_arithmetic ADD duration      { $$ = promql_new_duration(parser, PROMQL_ADD, $1, $2, $3); STOP_IF_FAILED; }
  | offset_arithmetic SUB duration      { $$ = promql_new_duration(parser, PROMQL_SUB, $1, $2, $3); STOP_IF_FAILED; }
  | offset_arithmetic MUL duration      { $$ = promql_new_duration(parser, PROMQL_MUL, $1, $2, $3); STOP_IF_FAILED; }
  | offset_arithmetic DIV duration      { $$ = promql_new_duration(parser, PROMQL_DIV, $1, $2, $3); STOP_IF_FAILED; }
  | offset_arithmetic MOD duration      { $$ = promql_new_duration(parser, PROMQL_MOD, $1, $2, $3); STOP_IF_FAILED; }
  | offset_arithmetic POW duration      { $$ = promql_new_duration(parser, PROMQL_POW, $1, $2, $3); STOP_IF_FAILED; }
  ;

duration:
    number_literal                      { $$ = promql_check_duration(parser, $1, $1->range); STOP_IF_FAILED; }
  | signed_duration
  | duration ADD duration               { $$ = promql_new_duration(parser, PROMQL_ADD, $1, $2, $3); STOP_IF_FAILED; }
  | duration SUB duration               { $$ = promql_new_duration(parser, PROMQL_SUB, $1, $2, $3); STOP_IF_FAILED; }
  | duration MUL duration               { $$ = promql_new_duration(parser, PROMQL_MUL, $1, $2, $3); STOP_IF_FAILED; }
  | duration DIV duration               { $$ = promql_new_duration(parser, PROMQL_DIV, $1, $2, $3); STOP_IF_FAILED; }
  | duration MOD duration               { $$ = promql_new_duration(parser, PROMQL_MOD, $1, $2, $3); STOP_IF_FAILED; }
  | duration POW duration               { $$ = promql_new_duration(parser, PROMQL_POW, $1, $2, $3); STOP_IF_FAILED; }
  | duration_call
  | paren_duration
  ;

signed_duration:
    unary_op duration %prec MUL         { $$ = promql_sign_duration(parser, $1, $2); STOP_IF_FAILED; }
  ;

duration_call:
    STEP LEFT_PAREN RIGHT_PAREN         { $$ = promql_new_step(parser, PROMQL_DURATION_STEP, $1, $3); STOP_IF_FAILED; }
  | RANGE LEFT_PAREN RIGHT_PAREN        { $$ = promql_new_step(parser, PROMQL_DURATION_RANGE, $1, $3); STOP_IF_FAILED; }
  | min_or_max LEFT_PAREN duration COMMA duration RIGHT_PAREN {
        $$ = promql_new_extremum(parser, $1, $3, $5, $6); STOP_IF_FAILED;
    }
  ;

min_or_max: MAX_OF | MIN_OF ;

paren_duration:
    LEFT_PAREN duration RIGHT_PAREN     { $$ = promql_wrap_duration(parser, $1, $2, $3); STOP_IF_FAILED; }
  ;

%%
