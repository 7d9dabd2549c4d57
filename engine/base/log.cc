#include "engine/base/log.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <utility>

#include "engine/base/text.h"

namespace weir::engine {
namespace {

constexpr size_t kQueueLines = 8192;

// Written once before the shards start, and once after they have stopped.
struct Loggers {
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::logger> asynchronous;
  std::shared_ptr<spdlog::logger> direct;
  LogSink sink = nullptr;
};

Loggers& Ours() {
  static Loggers loggers;
  return loggers;
}

// Level names as operators of the managed proxy filter for them.
class Formatter final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string_view name = message.level == spdlog::level::warn    ? "WARN"
                                  : message.level == spdlog::level::err   ? "ERROR"
                                  : message.level == spdlog::level::debug ? "DEBUG"
                                                                          : "INFO";
    out.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<Formatter>();
  }
};

void SetPattern(spdlog::logger& logger) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<Formatter>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ [%*] %v");
  logger.set_formatter(std::move(formatter));
  logger.set_level(spdlog::level::debug);
}

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void StartLog() {
  Loggers& loggers = Ours();
  loggers.pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::async_logger>(
      "weir", sink, loggers.pool, spdlog::async_overflow_policy::overrun_oldest);
  SetPattern(*logger);
  loggers.asynchronous = logger;
}

void StopLog() {
  Loggers& loggers = Ours();
  loggers.asynchronous.reset();
  loggers.pool.reset();
}

uint64_t DroppedLogLines() { return Ours().pool == nullptr ? 0 : Ours().pool->overrun_counter(); }

void SetLogSink(LogSink sink) { Ours().sink = sink; }

void Log(LogLevel level, std::string_view line) {
  Loggers& loggers = Ours();
  const std::string visible = Visible(line);
  line = visible;
  if (loggers.sink != nullptr) {
    loggers.sink(level, line);
    return;
  }
  if (loggers.asynchronous != nullptr) {
    loggers.asynchronous->log(LevelOf(level), line);
    return;
  }
  if (loggers.direct == nullptr) {
    loggers.direct =
        std::make_shared<spdlog::logger>("weir", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    SetPattern(*loggers.direct);
  }
  loggers.direct->log(LevelOf(level), line);
}

bool LogLimit::Allow(Nanos now, uint64_t& left_out) {
  if (now - second_ >= kSecond) {
    second_ = now;
    written_ = 0;
  }
  if (written_ >= per_second_) {
    ++left_out_;
    return false;
  }
  ++written_;
  left_out = std::exchange(left_out_, 0);
  return true;
}

}  // namespace weir::engine
