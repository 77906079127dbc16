/* onnx.h - inside of the frontend: an ONNX file as protobuf-c messages whose weights stay in the mapped file. */
#ifndef DCC_ONNX_H
#define DCC_ONNX_H

#include "../ir/ir.h"
#include "names.h"
#include "onnx.pb-c.h"

typedef Onnx__ModelProto OnnxModel;
typedef Onnx__GraphProto OnnxGraph;
typedef Onnx__NodeProto OnnxNode;
typedef Onnx__AttributeProto OnnxAttr;
typedef Onnx__TensorProto OnnxTensor;
typedef Onnx__ValueInfoProto OnnxValueInfo;
typedef Onnx__FunctionProto OnnxFunction;

typedef struct External External;

/* Where a body is imported, from the model's graph (NULL) inwards: a function that is called twice, or a loop over sequences, has its
 * body imported for other sizes each time. */
typedef struct Place {
	const struct Place *outer;
	const OnnxNode *node;
	const void *body;
	int number; /* of its imports for that node there */
} Place;

/* An If whose branches give results that do not fit together (ranks, lengths of sequences), where the data decides.  What follows
 * it may fit one of them only: load.c tries. */
typedef struct Dispute {
	const OnnxNode *node; /* NULL: none */
	const Place *place;
	Loc loc;
	const char *what; /* the branches give */
} Dispute;

enum { MaxChoices = 64 };

typedef struct Choice {
	const OnnxNode *node;
	const Place *place;
	bool yes; /* the branch that is taken */
	const char *why; /* the other one is an error; NULL: what follows does not fit it */
	Loc loc; /* of the node, where it is an error */
} Choice;

typedef struct OnnxFile {
	Arena *arena; /* of the messages; not the module's */
	const char *path, *base; /* base: the last component */
	const uint8_t *bytes;
	size_t size;
	OnnxModel *model;
	bool sparse; /* has sparse initializers */
	External *external; /* files of external data that are mapped so far */
	Names values; /* inputs whose elements are symbols, since shapes depend on them */
	Names units; /* symbols that are 1, since operators take one element of a tensor with such a dim */
	Dispute dispute; /* what the import has ended for */
	int nchoice;
	Choice choices[MaxChoices];
	int ntaken, taken[MaxChoices]; /* choices that made this import */
	Names found_types; /* OnnxValueInfo of values whose type the file does not state; see cut.c */
} OnnxFile;

/* Parses a mapped file; messages live in `arena`.  Malformed bytes are a fatal_at. */
OnnxFile *read_onnx(Arena *arena, const char *path, const void *bytes, size_t size);

/* The element type, or false where the IR has none. */
bool onnx_dtype(int onnx, DType *);
int onnx_dtype_named(const char *); /* "FLOAT16": its number; 0: there is none */
const char *onnx_dtype_text(int onnx); /* "FLOAT16"; "99" where ONNX has none; static storage per thread */

/* A tensor as a constant of the module: bytes above 1 KB are not copied and may be unaligned.  Wrong is a fatal_at. */
Const *tensor_const(Module *, OnnxFile *, const OnnxTensor *, const char *name, const Loc *);

#endif
