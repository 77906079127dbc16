/* custom.h - operators that --custom-op names. */
#ifndef DCC_CUSTOM_H
#define DCC_CUSTOM_H

#include "call.h"

void read_customs(Import *); /* the options; what is wrong with them is fatal */
bool find_custom(const Import *, const OnnxNode *); /* is the operator one of them */
void warn_unused_customs(const Import *);
void import_custom(Call *); /* of an operator that find_custom has found */

#endif
