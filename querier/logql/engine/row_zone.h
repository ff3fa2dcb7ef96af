#pragma once
/*
 * row_zone.h: time zones by name, as toDateInZone asks for them: of the system's tz database, or of
 * the folder that the environment's ZONEINFO names.
 *
 * A file is bytes from outside: nothing in it is believed. https://www.rfc-editor.org/rfc/rfc9636
 */
#include "common/base/buf.h"
#include "common/base/error.h"

typedef struct Zone Zone;
/* A TZif file of version 2 or more; NULL: it is none, or out of memory. */
Zone *zone_parse(Str bytes);
void zone_free(Zone *zone); /* NULL is fine */
DEFINE_CLEANUP(Zone, zone_free)
/* The instant, in seconds, at which clocks of the zone show the time that UTC's show at `local`. Of
 * a time that there is twice, or not at all, Go's choice. */
int64_t zone_instant(const Zone *zone, int64_t local);

/* Zones that a worker met: the newest few stay. */
enum { ROW_ZONES = 4 };
typedef struct RowZones {
    struct {
        Buf name;
        Zone *zone; /* NULL: there is none of the name */
        bool used;
    } slots[ROW_ZONES];
    unsigned next;
} RowZones;
/* NULL: UTC, as for every name that isn't known. Good until the next call. */
const Zone *row_zones_get(RowZones *zones, Str name);
void row_zones_done(RowZones *zones);
