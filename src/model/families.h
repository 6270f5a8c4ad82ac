/* The family tables, one per file; family.c lists them. Private to model/. SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_MODEL_FAMILIES_H
#define GS_MODEL_FAMILIES_H

#include "model/family.h"

extern const gs_family gs_family_chatglm; /* chatglm.c */

#endif
