// The thread of the agent: asks for what is due, when it is due.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "pool/aws/agent.h"

namespace weir::pool {

class AgentThread {
 public:
  explicit AgentThread(AwsAgent& agent) : agent_(agent) {}
  ~AgentThread() { Stop(); }
  AgentThread(const AgentThread&) = delete;
  AgentThread& operator=(const AgentThread&) = delete;

  void Start();
  // Ends it after the question in hand.
  void Stop();

 private:
  void Run();

  AwsAgent& agent_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace weir::pool
