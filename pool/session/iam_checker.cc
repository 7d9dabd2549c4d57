#include "pool/session/iam_checker.h"

#include "engine/base/check.h"
#include "pool/session/client_session.h"
#include "pool/session/services.h"

namespace weir::pool {

void IamChecker::Check(SessionServices& services, engine::Handle<ClientSession> client,
                       const Question& question) {
  ClientSession* session = services.clients.Find(client);
  CHECK(session != nullptr);
  if (iam_ == nullptr) {
    session->OnTokenChecked(false, "there is no [iam]");
    return;
  }
  const Iam::Answer answer = iam_->Check(question.token, question.user, question.endpoint);
  session->OnTokenChecked(answer.fault == protocol::IamFault::kNone, answer.why);
}

}  // namespace weir::pool
