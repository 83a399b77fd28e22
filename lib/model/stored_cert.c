#include "model/stored_cert.h"

REC_DEFINE(stored_cert, REC_STORED_CERT)
