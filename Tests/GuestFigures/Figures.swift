// SPDX-License-Identifier: Apache-2.0
//
// How long Linux takes for what programs ask of it: built by .ci/figures, which runs it in guests and on the host itself.
// Prints a line for each operation, its name and nanoseconds: `figures: system-call 71`.
//
// `figures` alone times system calls, page faults, pipes, fork and exec; `figures disk FILE` reads and writes of a file or
// device of at least 64 MiB, without the page cache, and destroys what stands on it; `figures network ADDRESS PORT [PREFIX]`
// what passes between it and `figures serve [ADDRESS]`, which says its port; names begin with the prefix. Reads, writes and round trips are of one piece, downloads
// and uploads of 1 MiB.

import Glibc

func say(_ line: String) {
  let bytes = Array("figures: \(line)\n".utf8)
  _ = write(1, bytes, bytes.count)
}

/// Ends the program unless it holds: what failed is not worth timing.
func require(_ condition: Bool, _ what: @autoclosure () -> String) {
  guard !condition else { return }
  say("\(what()) failed: \(String(cString: strerror(errno)))")
  exit(1)
}

/// Times an operation, over and over, in five batches, and says what one takes in the fastest of them: the one that was
/// disturbed least. A batch takes a tenth of a second at least, since some clocks go on by 4 ms at a time.
/// - Parameters:
///   - count: operations that `run` does.
func time(_ name: String, count: Int = 1, _ run: () -> Void) {
  var least = Int64.max
  for _ in 0..<5 {
    let begin = nanoseconds()
    var done = 0
    var duration: Int64 = 0
    repeat {
      run()
      done += count
      duration = nanoseconds() - begin
    } while duration < 100_000_000
    least = min(least, duration / Int64(done))
  }
  say("\(name) \(least)")
}

@main
enum Figures {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    switch (arguments.first, arguments.count) {
    case (nil, _):
      timeSystemCall()
      timePageFault()
      timePipe()
      timeExec()
    case ("disk", 2):
      timeDisk(CommandLine.arguments[2])
    case ("network", 3), ("network", 4):
      timeNetwork(
        CommandLine.arguments[2], port: UInt16(CommandLine.arguments[3]) ?? 0,
        prefix: CommandLine.arguments.dropFirst(4).first ?? "")
    case ("serve", 1), ("serve", 2):
      serve(at: CommandLine.arguments.dropFirst(2).first ?? "127.0.0.1")
    default:
      say("not understood")
      exit(2)
    }
    say("done")
  }
}
