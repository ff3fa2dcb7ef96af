#pragma once
/*
 * internal.h: rules as they are applied.
 */
#include "common/base/buf.h"
#include "common/batch/matcher.h"
#include "common/config/config.h"
#include "gateway/otlp/value.h"
#include "gateway/rules/rules.h"

/* ---------- attributes ---------- */

typedef struct RuleAttribute {
    Str key;
    Str value; /* message AnyValue */
    Str whole; /* message KeyValue as it came; NULL ptr: it was changed */
} RuleAttribute;

typedef struct RuleAttributes {
    RuleAttribute *items;
    size_t count;
    size_t capacity;
    bool changed;
} RuleAttributes;

/* Those in field `number` of a message. ERR_CORRUPT, ERR_LIMIT. */
MUST_USE ErrCode rule_attributes_read(Str message, uint32_t number, Arena *arena,
                                      RuleAttributes *out, Error *err);
/* The message with these instead of its own, appended to `out`: all other fields as they came. */
MUST_USE ErrCode rule_attributes_write(Str message, uint32_t number,
                                       const RuleAttributes *attributes, Buf *out, Error *err);
RuleAttribute *rule_attribute_find(const RuleAttributes *attributes, Str key); /* NULL: none */

/* ---------- conditions ---------- */

typedef enum RuleField {
    FIELD_RESOURCE, /* an attribute of the resource */
    FIELD_OWN,      /* of the span, record or point */
    FIELD_NAME,     /* of the span or metric */
    FIELD_KIND,
    FIELD_STATUS,
    FIELD_STATUS_MESSAGE,
    FIELD_DURATION, /* seconds */
    FIELD_TRACE_DURATION,
    FIELD_SEVERITY, /* number */
    FIELD_SEVERITY_TEXT,
    FIELD_BODY,
} RuleField;

typedef enum RuleCompare {
    COMPARE_EQUAL,
    COMPARE_NOT_EQUAL,
    COMPARE_LESS,
    COMPARE_LESS_EQUAL,
    COMPARE_GREATER,
    COMPARE_GREATER_EQUAL,
    COMPARE_REGEX,
    COMPARE_NOT_REGEX,
} RuleCompare;

typedef struct RuleCondition RuleCondition;
struct RuleCondition {
    enum { CONDITION_AND, CONDITION_OR, CONDITION_NOT, CONDITION_TEST } op;
    const RuleCondition *left, *right; /* of NOT: left */
    RuleField field;
    RuleCompare compare;
    Str key;
    bool nil;    /* compared with nil: whether it is there */
    bool number; /* `value` is one, too */
    double as_number;
    Str value;
    Matcher matcher;
};

/* ERR_INVALID says what is wrong and where. *own: whether it asks for anything but the resource. */
MUST_USE ErrCode rule_condition_parse(RuleSignal signal, Str text, Arena *arena,
                                      const RuleCondition **out, bool *own, Error *err);

/* What a condition is asked about. */
typedef struct RuleSubject {
    Arena *arena;
    const RuleAttributes *resource;
    RuleAttributes *own;
    Str name;
    Str text; /* status message or severity text */
    OtlpValue body;
    uint32_t kind;
    uint32_t status;
    uint32_t severity;
    double seconds;
    double trace_seconds; /* of tails */
} RuleSubject;

bool rule_condition_holds(const RuleCondition *condition, const RuleSubject *subject);

/* ---------- rules ---------- */

typedef enum RuleAction {
    ACTION_INSERT,
    ACTION_UPDATE,
    ACTION_UPSERT,
    ACTION_DELETE,
    ACTION_RENAME,
    ACTION_HASH,
    ACTION_DROP,
    ACTION_SAMPLE,
    ACTION_KEEP,
} RuleAction;

typedef struct Rule {
    RuleAction action;
    bool on_resource;   /* the attribute is the resource's, and the condition asks for nothing else
                         */
    bool from_resource; /* `from` is */
    Str key;
    Str value; /* message AnyValue; NULL ptr: it comes `from` */
    Str from;
    Str to;
    uint64_t threshold; /* of sample: what a hash must be below; UINT64_MAX: all are kept */
    const RuleCondition *condition; /* NULL: always */
} Rule;

typedef struct SignalRules {
    const Rule *items;
    size_t count;
    bool resource; /* some are about the resource's attributes, some about what is from there */
    bool own;
} SignalRules;

struct TenantRules {
    SignalRules signals[RULE_SIGNALS];
};

/* Changes the resource's attributes. */
MUST_USE ErrCode rules_on_resource(const SignalRules *rules, RuleSubject *subject,
                                   RuleAttributes *resource, Error *err);
/* Changes subject->own. *drop: the item goes. `sample` is what its trace's share is decided by. */
MUST_USE ErrCode rules_on_item(const SignalRules *rules, RuleSubject *subject, uint64_t sample,
                               bool *drop, Error *err);
