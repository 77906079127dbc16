/* weights.h - what the calls of two files ask of weights that an application passes. */
#ifndef DCC_WEIGHTS_H
#define DCC_WEIGHTS_H

#include "dcc.h"

/* For calls outside of a run: checks the model and *weights (size bytes; NULL becomes the embedded ones).  A dcc_status. */
__attribute__((visibility("hidden"))) int32_t dcc_open_weights(const dcc_model *model, const void **weights, uint64_t size, dcc_error *err);

#endif
