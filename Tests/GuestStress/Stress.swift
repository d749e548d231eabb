// SPDX-License-Identifier: Apache-2.0
//
// What a Linux guest's processes do to a hypervisor: a program of its own, built by .ci/boots and run in the guest. Each
// case runs by itself, then all run at once; those that are named, each by itself. `--planted` runs each with a fault
// planted in it: each must fail.

import Glibc
import Synchronization

/// One kind of load, which knows what must come out of it.
struct Case {
  let name: String
  /// Runs rounds until the deadline, in a process of its own; ends it by `fail` if something is wrong.
  /// - Parameter isPlanted: leave out what the case is about: it must notice.
  let run: @Sendable (_ deadline: Deadline, _ isPlanted: Bool) -> Int
}

let cases = [
  Case(name: "mprotect", run: protectPages), Case(name: "munmap", run: unmapPages),
  Case(name: "copy on write", run: copyOnWrite), Case(name: "shootdown", run: shootDown),
  Case(name: "vectors", run: keepVectors), Case(name: "ptrace", run: traceProcess),
  Case(name: "breakpoints", run: breakOften),
  Case(name: "timers", run: countExpirations), Case(name: "threads", run: shareCounter),
  Case(name: "exec", run: execute),
]

/// A point of the monotonic clock.
struct Deadline: Sendable {
  private let end: Int64

  init(milliseconds: Int64) { end = nanoseconds() + milliseconds * 1_000_000 }

  var isOver: Bool { nanoseconds() >= end }
}

/// Writes a line, at once: what `print` keeps back would be written by each process that was forked since.
func say(_ line: String) {
  let bytes = Array("stress: \(line)\n".utf8)
  _ = write(1, bytes, bytes.count)
}

/// Says what is wrong, and ends this process.
func fail(_ reason: String) -> Never {
  say(reason)
  _exit(1)
}

func require(_ condition: Bool, _ reason: @autoclosure () -> String) {
  if !condition { fail(reason()) }
}

/// Starts a case in a process of its own.
private func start(_ item: Case, milliseconds: Int64, isPlanted: Bool) -> pid_t {
  let child = forkProcess()
  require(child >= 0, "no process for \(item.name): error \(errno)")
  if child == 0 {
    let rounds = item.run(Deadline(milliseconds: milliseconds), isPlanted)
    require(rounds > 0, "\(item.name): not one round")
    say("\(item.name): \(rounds) rounds")
    _exit(0)
  }
  return child
}

/// Whether a case's process ends well in time; one that does not is killed.
private func endsWell(_ child: pid_t, _ item: Case, milliseconds: Int64) -> Bool {
  let limit = Deadline(milliseconds: milliseconds)
  var status: CInt = 0
  while waitpid(child, &status, WNOHANG) == 0 {
    if limit.isOver {
      kill(child, SIGKILL)
      waitpid(child, &status, 0)
      say("\(item.name): hangs")
      return false
    }
    usleep(2000)
  }
  if status != 0 { say("\(item.name): status \(status)") }
  return status == 0
}

/// How long a case may take beyond its time.
private let grace: Int64 = 30_000

private func runAll(milliseconds: Int64, named names: [String]) -> Bool {
  var isWell = true
  for item in cases where names.isEmpty || names.contains(item.name) {
    let child = start(item, milliseconds: milliseconds, isPlanted: false)
    isWell = endsWell(child, item, milliseconds: milliseconds + grace) && isWell
  }
  guard names.isEmpty else { return isWell }
  say("all at once")
  let all = milliseconds * 6
  let children = cases.map { start($0, milliseconds: all, isPlanted: false) }
  for (item, child) in zip(cases, children) {
    isWell = endsWell(child, item, milliseconds: all + grace) && isWell
  }
  return isWell
}

/// Whether each case notices its planted fault.
private func noticeAll(milliseconds: Int64) -> Bool {
  var isWell = true
  for item in cases {
    let child = start(item, milliseconds: milliseconds, isPlanted: true)
    if endsWell(child, item, milliseconds: milliseconds + grace) {
      say("\(item.name): the planted fault was not noticed")
      isWell = false
    }
  }
  return isWell
}

@main
enum Stress {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    // What `exec` executes.
    if arguments.first == "--executed" { exit(arguments.count == 2 ? 42 : 1) }
    let isWell =
      arguments.first == "--planted"
      ? noticeAll(milliseconds: 100) : runAll(milliseconds: 600, named: Array(arguments))
    say(isWell ? "passed" : "failed")
    exit(isWell ? 0 : 1)
  }
}
