#include "pool/core/hot_backends.h"
