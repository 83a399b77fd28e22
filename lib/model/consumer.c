#include "model/consumer.h"

REC_DEFINE(domain, REC_DOMAIN)
REC_DEFINE(recipient, REC_RECIPIENT)
REC_DEFINE(address, REC_ADDRESS)
REC_DEFINE(login, REC_LOGIN)
REC_DEFINE(consumer, REC_CONSUMER)
