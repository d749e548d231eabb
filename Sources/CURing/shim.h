// SPDX-License-Identifier: Apache-2.0
// First, so that what liburing's header asks of the C library does not change types that Swift knows otherwise.
#include <features.h>
#include <liburing.h>
