// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devices
import Glibc
import Hypervisor
import Interfaces
import Machines
import Toolstack

/// `lockstep run`: a host with one domain, its console on the terminal.
struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a guest in the foreground, its console on this terminal; Ctrl-] ends it.",
    discussion: """
      FILE is an xl.cfg: kernel, ramdisk, extra, name, memory, vcpus, disk, vif, on_poweroff, on_reboot, on_crash.
      Exit status: 0 the guest ended in good order, 1 it crashed, 2 it could not be started.
      """)

  @Argument(help: ArgumentHelp("The guest's configuration.", valueName: "file"))
  var file: String

  @Flag
  var check: CheckMode?

  /// What of the machines' operations is compared.
  enum CheckMode: EnumerableFlag {
    case all, sample

    static func name(for value: CheckMode) -> NameSpecification {
      // `Main` has made it of `--check=sample`, which the parser would take for an option with a value.
      value == .all ? .customLong("check") : .customLong("check-sample")
    }

    static func help(for value: CheckMode) -> ArgumentHelp? {
      value == .all
        ? "Hold every operation of the machines against their specifications as it happens."
        : "Or --check=sample: of those on shadow page tables only one in eight, for long runs."
    }
  }

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Record the specifications' steps, for lockstep replay; checks too.", valueName: "file"))
  var trace: String?

  @Flag(name: .long, help: "Print what the hypervisor counted when the guest has ended.")
  var stats = false

  @Flag(
    name: .long,
    help: "Leave out what confines this process while the guest runs: namespaces, Landlock, seccomp.")
  var noSandbox = false

  @Flag(name: [.short, .long], help: "Print no warnings and notes, only the guest's console and errors.")
  var quiet = false

  func validate() throws {
    guard check != .sample || trace == nil else {
      throw ValidationError("--trace records every step, and --check=sample does not follow every one")
    }
  }

  func run() throws {
    Self.openStandardStreams()
    do {
      let (configuration, warnings) = try GuestConfiguration.load(file)
      for warning in warnings { note("warning: \(warning)") }
      if noSandbox { note("warning: --no-sandbox: whoever breaks out of the guest may do all that you may") }
      let quiet = quiet
      let runner = DomainRunner(note: { if !quiet { Self.complain($0) } })
      let checks = try Checks(check: check != nil, sample: check == .sample, trace: trace) { runner.stop() }
      let outcome = try run(configuration, runner, checks.machinery)
      try report(outcome, of: configuration, checks)
    } catch let error as ToolstackError {
      throw CouldNotRun(error.description)
    }
  }

  private func run(_ configuration: GuestConfiguration, _ runner: DomainRunner, _ machinery: any Machinery)
    throws
    -> DomainRunner.Outcome
  {
    signal(SIGPIPE, SIG_IGN)
    let signals = EndingSignals()
    defer {
      RawTerminal.restore()
      signals.finish()
    }
    let isTerminal = isatty(STDIN_FILENO) == 1
    let console = ConsoleStreams(
      input: STDIN_FILENO, output: STDOUT_FILENO, log: STDERR_FILENO,
      escape: isTerminal ? ConsoleStreams.controlBracket : nil,
      ended: { runner.stop() })
    return try runner.run(configuration, console: console, machinery: machinery, isSandboxed: !noSandbox) {
      signals.watch { runner.stop() }
      if isTerminal { RawTerminal.enter(STDIN_FILENO) }
    }
  }

  private func report(_ outcome: DomainRunner.Outcome, of configuration: GuestConfiguration, _ checks: Checks)
    throws
  {
    if stats {
      for (name, count) in outcome.statistics { Self.complain("\(name): \(count)") }
    }
    let divergence = checks.finish { if !quiet { Self.complain($0) } }
    if let divergence {
      Self.complain("domain \(configuration.name) was stopped: \(divergence)")
      throw ExitStatus.violated.code
    }
    guard case .crashed(let report) = outcome.end else { return }
    Self.complain("domain \(configuration.name) crashed: \(report.reason)")
    if !report.registers.isEmpty { Self.complain(report.registers) }
    throw ExitStatus.violated.code
  }

  /// Opens what of standard input, output and error the caller has closed: a disk image must not get its number.
  private static func openStandardStreams() {
    // The lowest free number is given first, so one that is closed is taken at once.
    for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 {
      _ = open("/dev/null", O_RDWR)
    }
  }

  private func note(_ text: String) {
    if !quiet { Self.complain(text) }
  }

  private static func complain(_ text: String) {
    let bytes = Array("lockstep: \(text)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
  }
}
