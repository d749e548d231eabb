// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The terminal while a guest's console is on it: each key goes to the guest as it is typed, Ctrl-C too.
///
/// It is put back on every way out: by `restore`, at `exit`, and when the process is killed by a fault or a trap.
/// Signals that ask the process to end are left to their handlers, which end the domain and then call `restore`.
public enum RawTerminal {
  /// What a signal handler needs: nothing that has to be allocated or locked.
  private struct Saved {
    var descriptor: Int32
    var mode: termios
    /// What each signal did before, by its number.
    var former: UnsafeMutablePointer<sigaction>
  }
  /// Written before the handlers are installed, and never freed.
  nonisolated(unsafe) private static var saved: UnsafeMutablePointer<Saved>?

  /// The ways in which a process dies at once.
  private static let faults = [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGQUIT]

  /// Puts a terminal into raw mode. Once a process; further calls do nothing.
  /// - Returns: false if the descriptor is no terminal.
  @discardableResult
  public static func enter(_ descriptor: Int32) -> Bool {
    guard saved == nil else { return true }
    var mode = termios()
    guard isatty(descriptor) == 1, tcgetattr(descriptor, &mode) == 0 else { return false }
    let memory = UnsafeMutablePointer<Saved>.allocate(capacity: 1)
    let former = UnsafeMutablePointer<sigaction>.allocate(capacity: 65)
    former.initialize(repeating: sigaction(), count: 65)
    memory.initialize(to: Saved(descriptor: descriptor, mode: mode, former: former))
    saved = memory
    for number in faults { catchFault(number) }
    // In the background too, putting the terminal back must not stop us.
    signal(SIGTTOU, SIG_IGN)
    atexit { RawTerminal.restore() }
    // Output is left as it was: a line feed of our own messages still returns the carriage.
    let outputFlags = mode.c_oflag
    cfmakeraw(&mode)
    mode.c_oflag = outputFlags
    return tcsetattr(descriptor, TCSAFLUSH, &mode) == 0
  }

  /// Puts the terminal back as it was. Any number of times, from any thread or signal handler.
  public static func restore() {
    guard let saved else { return }
    tcsetattr(saved.pointee.descriptor, TCSANOW, &saved.pointee.mode)
  }

  private static func catchFault(_ number: Int32) {
    guard let saved else { return }
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = { number, information, _ in
      RawTerminal.restore()
      // Return into the fault with the former handler in place, be it the default or the runtime's backtrace.
      if let saved = RawTerminal.saved { sigaction(number, saved.pointee.former + Int(number), nil) }
      // A signal that somebody sent does not come back by itself, nor does an abort.
      let isFault = (information?.pointee.si_code ?? 0) > 0
      if !isFault || number == SIGABRT { raise(number) }
    }
    action.sa_flags = Int32(SA_ONSTACK | SA_SIGINFO)
    sigaction(number, &action, saved.pointee.former + Int(number))
  }
}
