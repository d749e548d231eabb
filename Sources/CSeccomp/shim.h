// SPDX-License-Identifier: Apache-2.0
#include "isolation.h"
#include <seccomp.h>
