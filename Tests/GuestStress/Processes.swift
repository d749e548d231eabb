// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

@_silgen_name("ptrace")
private func ptrace(_ request: CLong, _ process: pid_t, _ address: UInt, _ data: UInt) -> CLong

/// Requests of ptrace(2), and the offset of RIP in what PEEKUSER and POKEUSER reach (sys/user.h, user_regs_struct).
private enum Trace {
  static let me: CLong = 0
  static let peek: CLong = 1
  static let peekUser: CLong = 3
  static let poke: CLong = 4
  static let pokeUser: CLong = 6
  static let go: CLong = 7
  static let step: CLong = 9
  static let instructionPointer: UInt = 16 * 8
}

/// What the traced process ends with: the tracer changes it.
private let answer = Atomic<Int>(1)

private typealias Function = @convention(c) () -> Void

/// The address of a function, at which the tracer sets its breakpoint: kept so that the compiler does not see through it.
private let target = Atomic<Int>(0)

private struct Traced {
  let process: pid_t

  /// The signal by which it has stopped.
  func stop() -> CInt {
    var status: CInt = 0
    require(waitpid(process, &status, 0) == process, "ptrace: error \(errno)")
    require(status & 0xff == 0x7f, "ptrace: the process has ended with \(status)")
    return status >> 8
  }

  @discardableResult
  func ask(_ request: CLong, _ address: UInt = 0, _ data: UInt = 0) -> UInt {
    errno = 0
    let result = ptrace(request, process, address, data)
    require(errno == 0, "ptrace: request \(request): error \(errno)")
    return UInt(bitPattern: result)
  }

  var instructionPointer: UInt { ask(Trace.peekUser, Trace.instructionPointer) }
}

/// A process is stepped through, stopped at a breakpoint, and has its memory changed.
@Sendable func traceProcess(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  var rounds = 0
  let function: Function = { answer.add(1, ordering: .relaxed) }
  target.store(unsafeBitCast(function, to: Int.self), ordering: .sequentiallyConsistent)
  let breakpoint = UInt(bitPattern: target.load(ordering: .sequentiallyConsistent))
  repeat {
    rounds += 1
    let child = forkProcess()
    require(child >= 0, "fork: error \(errno)")
    if child == 0 {
      if ptrace(Trace.me, 0, 0, 0) != 0 || raise(SIGSTOP) != 0 { _exit(1) }
      unsafeBitCast(target.load(ordering: .sequentiallyConsistent), to: Function.self)()
      _exit(CInt(answer.load(ordering: .relaxed)))
    }
    let traced = Traced(process: child)
    require(traced.stop() == SIGSTOP, "ptrace: stopped by another signal")
    var moves = 0
    for _ in 0..<8 {
      let before = traced.instructionPointer
      traced.ask(Trace.step)
      require(traced.stop() == SIGTRAP, "ptrace: no trap after a step")
      if traced.instructionPointer != before { moves += 1 }
    }
    require(moves == 8, "ptrace: \(moves) of 8 steps")
    let code = traced.ask(Trace.peek, breakpoint)
    traced.ask(Trace.poke, breakpoint, code & ~0xff | 0xcc)
    traced.ask(Trace.go)
    require(traced.stop() == SIGTRAP, "ptrace: no trap at the breakpoint")
    require(traced.instructionPointer == breakpoint + 1, "ptrace: stopped elsewhere")
    traced.ask(Trace.poke, breakpoint, code)
    traced.ask(Trace.pokeUser, Trace.instructionPointer, breakpoint)
    withUnsafePointer(to: answer) { place in
      if !isPlanted { traced.ask(Trace.poke, UInt(bitPattern: place), 40) }
    }
    traced.ask(Trace.go)
    var status: CInt = 0
    let isEnded = waitpid(child, &status, 0) == child
    require(isEnded && status == 41 << 8, "ptrace: the process ends with \(status), not 41")
  } while !deadline.isOver
  return rounds
}

private let breakpoints = Atomic<Int>(0)

/// Breakpoints trap once each, and the program goes on behind them, while another thread's changes of a page's rights
/// interrupt the processor.
@Sendable func breakOften(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { _ in breakpoints.add(1, ordering: .sequentiallyConsistent) }
  require(sigaction(SIGTRAP, &action, nil) == 0, "sigaction: error \(errno)")
  // int3; ret
  let (code, other) = (Pages(1), Pages(1))
  for (index, byte) in [isPlanted ? 0x90 : 0xcc, 0xc3].enumerated() {
    code.base.storeBytes(of: UInt8(byte), toByteOffset: index, as: UInt8.self)
  }
  code.protect(PROT_READ | PROT_EXEC)
  let function = unsafeBitCast(code.base, to: Function.self)
  let changing = Thread(processor: 1) {
    while !deadline.isOver {
      other.protect(PROT_READ | PROT_WRITE)
      other.write(0, 1)
      other.protect(PROT_READ)
    }
  }
  pin(processor: 0)
  var rounds = 0
  repeat {
    rounds += 1
    function()
    let seen = breakpoints.load(ordering: .sequentiallyConsistent)
    require(seen == rounds, "breakpoints: \(seen) traps of \(rounds)")
  } while !deadline.isOver
  changing.join()
  return rounds
}

/// Processes that execute this program anew.
@Sendable func execute(_ deadline: Deadline, _ isPlanted: Bool) -> Int {
  var rounds = 0
  repeat {
    rounds += 1
    let words = ["stress", "--executed"] + (isPlanted ? [] : ["well"])
    var arguments = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    let child = forkProcess()
    require(child >= 0, "fork: error \(errno)")
    if child == 0 {
      execv("/proc/self/exe", &arguments)
      _exit(127)
    }
    var status: CInt = 0
    let isEnded = waitpid(child, &status, 0) == child
    require(isEnded && status == 42 << 8, "exec: the process ends with \(status), not 42")
  } while !deadline.isOver
  return rounds
}
