// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Checker
import Foundation
import Logic
import Proofs
import Specs

/// `lockstep verify`: the matrix machine × invariant.
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Explore and prove the specifications, and have every proof confirmed by a second solver.")

  @Argument(help: "Machines, by name; all if none is named.")
  var machines: [String] = []

  @Flag(name: .long, help: "Do without the second solver.")
  var noCertify = false

  @Option(name: .long, help: "Folder for remembered answers; by default lockstep in the user's cache folder.")
  var cache: String?

  @Flag(name: .long, help: "Remember nothing and believe nothing remembered.")
  var noCache = false

  @Option(
    name: .long, help: ArgumentHelp("Write each machine's certificate into a folder.", valueName: "folder"))
  var certificates: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write each obligation as SMT-LIB 2 into a folder, for any solver.", valueName: "folder"))
  var export: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write each invariant, shown or not, and all else that is wrong as SARIF 2.1.0, for annotations.",
      valueName: "file"))
  var sarif: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Write one page with all of this for a browser; the mutants are tried for it too, if that is not remembered.",
      valueName: "file"))
  var html: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Do one part of the work of a job array, such as 2/8: obligations are dealt out by their content.",
      valueName: "i/n"))
  var shard: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Folder of certificates that must be current; none are asked for where there is no such folder.",
      valueName: "folder"))
  var against = "Proofs/certificates"

  @Option(
    name: .long,
    help: ArgumentHelp("The most that one question to a solver may take.", valueName: "milliseconds"))
  var timeout: UInt32?

  @Option(
    name: .long, help: ArgumentHelp("The most steps that an induction looks back: 1 or 2.", valueName: "k"))
  var depth: Int?

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    let start = ContinuousClock.now
    let line = ProgressLine(reporting)
    let chosen = try chosenSubjects(machines)
    let verifier = try makeVerifier()
    let memory = verifier.memory
    let watched = Interruption.end {
      line.clear()
      memory?.save()
    }
    defer { withExtendedLifetime(watched) {} }
    let results: [Verifier.Result]
    do {
      results = try verifier.verify(chosen) { line.show(String($0.prefix(100))) }
    } catch {
      throw CouldNotRun("\(error)")
    }
    line.clear()
    verifier.memory?.save()
    for (subject, result) in zip(chosen, results) { try keep(result, of: subject) }
    let verifications = zip(chosen, results).map { subject, result in
      var verification = result.verification
      if verification.share == nil {
        verification.complaints = theory(of: subject).complaints(about: verification)
      }
      return verification
    }
    let stale = try zip(chosen, results).compactMap { try staleness($0, $1) }
    for verification in verifications where reporting.json || !verification.isEmpty {
      try reporting.json ? printJSON(verification) : print(verification.text)
    }
    for finding in stale where !reporting.json { print(finding.message) }
    if let html {
      try save(page(chosen, verifications, verifier, since: start, line), to: html)
      verifier.memory?.save()
    }
    if let sarif { try save(report(verifications, stale), to: sarif) }
    if !reporting.json {
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      print(ObligationTimes(of: verifications.map(\.times)))
      print(verifications.summary(seconds: seconds))
    }
    if !stale.isEmpty || !verifications.allSatisfy(\.holds) { throw ExitStatus.violated.code }
  }

  /// What is known of the machines, their mutants included, as a page.
  private func page(
    _ chosen: [Subject], _ verifications: [Verification], _ verifier: Verifier,
    since start: ContinuousClock.Instant, _ line: ProgressLine
  ) throws -> String {
    do {
      let machines = try zip(chosen, verifications).map { subject, verification in
        // Of a machine that breaks a rule itself mutants say nothing.
        let mutants =
          verification.counterexample != nil
          ? nil
          : try verifier.mutants(of: subject) { verdict, _ in line.show("\(subject.name): \(verdict.name)") }
        return try Page.Machine(subject, verification, mutants: mutants)
      }
      line.clear()
      return Page(machines, seconds: (ContinuousClock.now - start) / .seconds(1)).html
    } catch {
      throw CouldNotRun("\(error)")
    }
  }

  /// All findings as SARIF.
  private func report(_ verifications: [Verification], _ stale: [Finding]) throws -> String {
    let findings = verifications.flatMap { verification in
      verification.findings(
        claims: theories.first { $0.subject.name == verification.machine }?.site)
    }
    let tools = Set(verifications.flatMap(\.solvers)).sorted()
    return try SARIF(
      findings + stale + verifications.flatMap(\.shown), sources: SourceTree(root: "."), tools: tools,
      shard: verifications.lazy.compactMap(\.share).first?.shard
    ).encoded()
  }

  /// What is wrong with the certificate that is kept of a machine, if anything is.
  private func staleness(_ subject: Subject, _ result: Verifier.Result) throws -> Finding? {
    guard let certificate = result.certificate, FileManager.default.fileExists(atPath: against) else {
      return nil
    }
    let path = "\(against)/\(subject.name).json"
    func finding(_ message: String) -> Finding {
      Finding(
        .certificate, machine: subject.name, subject: "certificate", message: message,
        site: Site(file: path, line: 1))
    }
    guard let data = FileManager.default.contents(atPath: path) else {
      return finding("\(subject.name): there is no certificate \(path)")
    }
    guard let kept = try? JSONDecoder().decode(Certificate.self, from: data) else {
      return finding("\(subject.name): \(path) is no certificate")
    }
    // Another number of rounds is no other obligation: only what is made anew from the specification decides.
    guard kept != certificate, let first = kept.differences(from: try subject.make().trace()).first else {
      return nil
    }
    return finding("\(first): \(path) is stale")
  }

  /// Writes what was asked for into folders.
  private func keep(_ result: Verifier.Result, of subject: Subject) throws {
    let machine = result.verification.machine
    if let certificates, let certificate = result.certificate {
      try save(
        String(decoding: try certificate.encoded(), as: UTF8.self), to: "\(machine).json", in: certificates)
    }
    if let export {
      let problem = InductiveProblem(try subject.make().trace())
      for (number, obligation) in result.obligations.enumerated() {
        let name = "\(machine)-\(String(format: "%04d", number + 1)).smt2"
        let text = problem.question(about: obligation.claim, rounds: obligation.rounds).text
        try save(text, to: name, in: export)
      }
    }
  }

  private func makeVerifier() throws -> Verifier {
    var verifier = Verifier()
    if let timeout { verifier.options.timeout = timeout }
    if let depth {
      guard (1...2).contains(depth) else { throw CouldNotRun("--depth \(depth): 1 or 2") }
      verifier.options.depth = depth
    }
    if let shard {
      guard let part = Shard(shard) else {
        throw CouldNotRun("--shard \(shard): give a number and a count, such as 2/8")
      }
      guard certificates == nil, html == nil else {
        throw CouldNotRun("--certificates and --html are of the whole, not of a shard")
      }
      verifier.shard = part
      verifier.shardDepth = { machine, invariant in
        let theory = theories.first { $0.subject.name == machine }
        let claimed = (theory.map { $0.theorems + $0.lemmas } ?? []).first { $0.invariant == invariant }
        return max(1, claimed?.k ?? 1)
      }
    }
    if !noCertify {
      do { verifier.second = try SecondSolver() } catch { throw CouldNotRun(error.description) }
    }
    if !noCache {
      let folder = cache ?? Self.cacheFolder
      verifier.memory = AnswerFile(folder: folder)
      verifier.proved = ProvedFiles(folder: folder + "/proved")
      verifier.program = ProgramIdentity(path: "/proc/self/exe")
    }
    return verifier
  }

  private static var cacheFolder: String {
    let environment = ProcessInfo.processInfo.environment
    return (environment["XDG_CACHE_HOME"] ?? NSHomeDirectory() + "/.cache") + "/lockstep"
  }
}
