// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// The command line: one verb a file.
struct LockstepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lockstep",
    abstract: "A hypervisor held to its specification.",
    discussion: "Exit status: 0 it holds, 1 it is violated (or the guest crashed), 2 it could not be run.",
    subcommands: [
      Verify.self, Explore.self, Export.self, BoundedModelCheck.self, Strengthen.self, Mutants.self,
      Conform.self, Bench.self, Run.self, ReplayTrace.self, Seeds.self,
      ListDomains.self, ConsoleCommand.self, StoreCommand.self, ShutDown.self, Reboot.self,
      Destroy.self, Pause.self, Unpause.self, SystemRequest.self, SetMemory.self, Simulate.self,
      ImageCommand.self, SandboxProbe.self,
    ])
}

@main
enum Main {
  /// Runs the verb; whatever is wrong with the arguments is exit status 2.
  static func main() {
    // A reader of ours that went away is an error of a write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    do {
      let arguments = CommandLine.arguments.dropFirst().map { $0 == "--check=sample" ? "--check-sample" : $0 }
      var command = try LockstepCommand.parseAsRoot(arguments)
      try command.run()
    } catch let failure as CouldNotRun {
      FileHandle.standardError.write(Data("lockstep: \(failure.description)\n".utf8))
      exit(ExitStatus.couldNotRun.rawValue)
    } catch {
      let status = LockstepCommand.exitCode(for: error).rawValue
      let message = LockstepCommand.fullMessage(for: error)
      if !message.isEmpty {
        let stream = status == 0 ? FileHandle.standardOutput : FileHandle.standardError
        stream.write(Data("\(message)\n".utf8))
      }
      exit(status == ExitCode.validationFailure.rawValue ? ExitStatus.couldNotRun.rawValue : status)
    }
  }
}

/// What every verb's exit status means.
enum ExitStatus: Int32 {
  case holds = 0
  case violated = 1
  case couldNotRun = 2

  /// For throwing out of a verb's `run`.
  var code: ExitCode { ExitCode(rawValue) }
}

/// Why a verb could not do its work: one line.
struct CouldNotRun: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
