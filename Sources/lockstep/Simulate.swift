// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `lockstep simulate`: the machines in surroundings that are made up.
struct Simulate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the optimised machines in a simulated host.",
    subcommands: [SimulateOvercommit.self])
}

/// `lockstep simulate overcommit`: how many domains fit where each balloons itself.
struct SimulateOvercommit: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "overcommit",
    abstract:
      "Say how many domains fit on a host whose domains balloon themselves, and what it costs in swap.",
    discussion:
      "Each second every domain's self-balloon controller (the one that conforms to its specification) sets a "
      + "target; memory that others have given up is then handed out in turn, and the next domain is built as soon "
      + "as all of its maximum is free. What a domain needs beyond what it has is swapped. N domains fit if all "
      + "are built, and are short of memory for no more than the allowed share of their time. Exit status: 1 if "
      + "the host's account of pages is ever wrong.")

  @Option(name: .long, help: "The host's memory, in MB.") var host: UInt64 = 4096
  @Option(name: .long, help: "What the hypervisor and domain 0 keep of it, in MB.") var reserve: UInt64 = 512
  @Option(name: .long, help: "Each domain's maximum, in MB.") var maximum: UInt64 = 1024
  @Option(name: .long, help: "Simulated seconds.") var seconds = 3600
  @Option(name: .long, help: "The most domains to try.") var domains = 16
  @Option(name: .long, help: "Percent of a domain's time in which it may be short of memory.")
  var allowed = 1.0
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Generated demand: \(OvercommitLoad.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "load"))
  var load = "quiet"
  @Option(name: .long, help: "Where generated demand begins; the same seed gives the same.")
  var seed: UInt64 = 1
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Recorded demand instead: a line a second, numbers of MB with commas between, one for each domain; "
        + "where it ends it begins again, for seconds and for domains.", valueName: "file"))
  var demand: String?
  @Option(name: .long, help: ArgumentHelp("Draw the result.", valueName: "file")) var svg: String?

  @OptionGroup var reporting: ReportingOptions

  func run() throws {
    let source = try makeDemand()
    let host = try makeHost()
    let runs = (1...domains).map { OvercommitRun(host: host, domains: $0, seconds: seconds, demand: source) }
    let fitting = runs.last { $0.fits(allowed: allowed / 100) }
    for run in runs where reporting.json { try printJSON(run.line(allowed: allowed / 100)) }
    if !reporting.json {
      print(table(OvercommitRun.header, runs.map { $0.row(allowed: allowed / 100) }))
      print(
        "\(fitting?.domains ?? 0) domains of \(maximum) MB fit on \(host.pool / Self.megabyte) of \(self.host) MB"
          + ", short for at most \(allowed) % of their time; \(host.pool / host.maximum) without ballooning")
    }
    if let svg {
      let drawing = OvercommitDrawing(runs: runs, fitting: fitting ?? runs[0], allowed: allowed / 100)
      try save(drawing.text, to: svg)
    }
    if !runs.allSatisfy(\.isConserved) { throw ExitStatus.violated.code }
  }

  /// Pages of a megabyte.
  static let megabyte: UInt64 = 256
  /// Numbers of MB are below this: 2²⁰ MB are 2²⁸ pages.
  static let largest: UInt64 = 1 << 20

  private func makeHost() throws -> OvercommitHost {
    guard 1..<Self.largest ~= host, reserve < host, 1...(host - reserve) ~= maximum else {
      throw CouldNotRun(
        "--host \(host) --reserve \(reserve) --maximum \(maximum): a domain has to fit in what is left of the host"
      )
    }
    guard 1...1024 ~= domains else { throw CouldNotRun("--domains \(domains): 1 to 1024") }
    guard 1...1_000_000 ~= seconds else { throw CouldNotRun("--seconds \(seconds): 1 to 1000000") }
    guard 0...100 ~= allowed else { throw CouldNotRun("--allowed \(allowed): 0 to 100 percent") }
    return OvercommitHost(pool: (host - reserve) * Self.megabyte, maximum: maximum * Self.megabyte)
  }

  private func makeDemand() throws -> OvercommitDemand {
    if let demand { return .recorded(try OvercommitDemand.read(demand)) }
    guard let load = OvercommitLoad(rawValue: load) else {
      let known = OvercommitLoad.allCases.map(\.rawValue).joined(separator: ", ")
      throw CouldNotRun("--load \(load): there are \(known)")
    }
    return .generated(load, seed: seed)
  }
}
