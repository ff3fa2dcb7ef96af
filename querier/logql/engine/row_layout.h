#pragma once
/*
 * row_layout.h: where the fields of a line are, known once for all lines of its shape.
 *
 * Variables are letters, digits and `.:,-`: they hold nothing that json or logfmt take for quotes,
 * brackets, spaces, escapes or ends of values. So lines of one shape have their fields in the same
 * places, as long as variables are in values. A made-up line of the shape is parsed by the stage
 * itself, which tells a recorder what it finds; of real ones, only fields are put together that
 * somebody asks for. A shape for which that doesn't hold has no layout, and its lines are parsed.
 */
#include "querier/logql/engine/row_stage.h"

enum { ROW_LAYOUT_STAGES = 4 }; /* stages beyond have none */

typedef struct RowField {
    Str name;
    Str text;      /* constant: the label's value */
    LogSpan span;  /* else where it is */
    uint8_t kind;  /* RowJsonKind */
    bool plain;    /* ASCII without escapes */
    bool constant; /* in all lines of the shape */
} RowField;

typedef struct RowLayout {
    const RowField *fields;
    size_t count;
    bool regular; /* else there is none */
} RowLayout;

typedef struct RowRecorder RowRecorder;
/* Parses a line as the stage does, but tells the recorder of each field that would be looked at.
 * False: an entry of this shape is parsed on its own. */
typedef bool RowRecord(const RowStage *stage, RowRun *run, Str line, RowRecorder *recorder);

/* NULL: there is none, and the line is to be parsed. */
const RowLayout *row_layout(const RowStage *stage, RowRun *run, RowRecord *record);
/* The text of a field of the entry at hand; false: the entry fails. */
bool row_field_text(RowRun *run, const RowField *field, Str *out);

/* For RowRecord: a field `name` whose value stands in the line at `value->text`. */
void row_recorder_field(RowRecorder *recorder, Str name, const RowJson *value);
/* A key and a value of JSON that are walked by. */
void row_recorder_json(RowRecorder *recorder, Str key, const RowJson *value);
/* A part of the line that must be the same in all lines. */
void row_recorder_constant(RowRecorder *recorder, Str part);
bool row_recorder_is_constant(const RowRecorder *recorder, Str part);
void row_recorder_irregular(RowRecorder *recorder);
