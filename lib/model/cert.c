#include "model/cert.h"

REC_DEFINE(cert_uid, REC_CERT_UID)
REC_DEFINE(cert_key, REC_CERT_KEY)
REC_DEFINE(cert, REC_CERT)
