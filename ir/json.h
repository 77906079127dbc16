/* json.h - JSON out of untrusted files. */
#ifndef DCC_JSON_H
#define DCC_JSON_H

#include "ir.h"

typedef enum JsonKind { JsonNull, JsonBool, JsonNumber, JsonString, JsonArray, JsonObject } JsonKind;

typedef struct Json Json;
struct Json {
	JsonKind kind;
	double number; /* of a bool: 0 or 1 */
	const char *text; /* a string, decoded; U+FFFD stands for what has no UTF-8, and for NUL */
	int n, cap, capkey;
	Json **items; /* of an array, or of an object with its keys */
	const char **keys;
};

/* The whole file, in the arena.  What is wrong with it, or that it cannot be read, is a fatal_at. */
const Json *read_json(Arena *, const char *path);
/* The member of an object, the first of its name; NULL: there is none of this kind, or it is no object. */
const Json *json_member(const Json *, const char *key, JsonKind);

#endif
