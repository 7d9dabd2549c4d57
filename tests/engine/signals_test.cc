// Each in a process of its own: signals belong to the whole of it.
#include "engine/signals.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

namespace weir::engine {
namespace {

// In the child: it ends with the number of what is wrong.
#define REQUIRE_CHILD(number, condition) \
  if (!(condition)) _exit(number)

TEST(SignalsTest, WaitForTheirAsker) {
  EXPECT_EXIT(
      {
        BlockSignals();
        REQUIRE_CHILD(10, WaitForSignal(0) == 0);
        // From another thread, which has them blocked too.
        for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
          std::thread([signal] { kill(getpid(), signal); }).join();
          REQUIRE_CHILD(11, WaitForSignal(10 * kSecond) == signal);
          REQUIRE_CHILD(12, WaitForSignal(0) == 0);
        }
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(SignalsTest, ThreadsOnlyWakeTheAsker) {
  EXPECT_EXIT(
      {
        BlockSignals();
        std::thread other([] {
          sigset_t blocked;
          pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
          for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1})
            REQUIRE_CHILD(10, sigismember(&blocked, signal) == 1);
          REQUIRE_CHILD(11, sigismember(&blocked, SIGSEGV) == 0);
          kill(getpid(), SIGUSR1);
        });
        REQUIRE_CHILD(12, WaitForSignal(10 * kSecond) == SIGUSR1);
        other.join();
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(SignalsTest, ABrokenPipeIsAnError) {
  EXPECT_EXIT(
      {
        BlockSignals();
        int fds[2];
        REQUIRE_CHILD(10, pipe(fds) == 0);
        close(fds[0]);
        REQUIRE_CHILD(11, write(fds[1], "x", 1) == -1 && errno == EPIPE);
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

class NotifyTest : public testing::Test {
 protected:
  void TearDown() override {
    unsetenv("NOTIFY_SOCKET");
    if (fd_ >= 0) close(fd_);
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  // The socket that the service manager reads.
  void Listen(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@') address.sun_path[0] = '\0';
    fd_ = socket(AF_UNIX, SOCK_DGRAM, 0);
    ASSERT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size())),
              0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  std::string Told() {
    char text[64] = {};
    const ssize_t length = recv(fd_, text, sizeof text, MSG_DONTWAIT);
    return length < 0 ? "" : std::string(text, static_cast<size_t>(length));
  }
  std::string Folder() {
    char name[] = "/tmp/weir-notify-XXXXXX";
    return folder_ = mkdtemp(name);
  }

  std::string folder_;
  int fd_ = -1;
};

TEST_F(NotifyTest, ASocketFile) {
  Listen(Folder() + "/notify");
  NotifyServiceManager("READY=1");
  EXPECT_EQ(Told(), "READY=1");
  EXPECT_EQ(Told(), "");
  NotifyServiceManager("STOPPING=1");
  EXPECT_EQ(Told(), "STOPPING=1");
}

TEST_F(NotifyTest, AnAbstractSocket) {
  Listen("@weir-notify-test-" + std::to_string(getpid()));
  NotifyServiceManager("READY=1");
  EXPECT_EQ(Told(), "READY=1");
}

// No service manager, or none that can be reached: nothing happens, and no descriptor is left.
TEST_F(NotifyTest, NobodyAsked) {
  const int before = dup(0);
  close(before);
  for (const std::string& path : {std::string(), std::string(200, 'x'), Folder() + "/none"}) {
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
    NotifyServiceManager("READY=1");
  }
  unsetenv("NOTIFY_SOCKET");
  NotifyServiceManager("READY=1");
  const int after = dup(0);
  EXPECT_EQ(after, before);
  close(after);
}

}  // namespace
}  // namespace weir::engine
