// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite("lockstep simulate overcommit") struct SimulateTests {
  private struct Line: Decodable {
    let domains, built, builtAfterSeconds, domainSeconds, shortSeconds: Int
    let swappedOutPages, worstShortagePages: UInt64
    let fits, isConserved: Bool
  }

  private func simulate(_ arguments: String...) throws -> [Line] {
    let result = Program.run(Program.lockstep, ["simulate", "overcommit", "--json"] + arguments)
    #expect(result.end == .exited(0), "\(result.error)")
    return try result.output.split(separator: "\n").map {
      try JSONDecoder().decode(Line.self, from: Data($0.utf8))
    }
  }

  /// A file that is gone when the test is.
  private func scratch(_ text: String, _ use: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "lockstep-demand-\(UUID().uuidString)"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try use(path)
  }

  @Test(
    "more than the article's three domains of 1 GB fit on 4 GB where they are quiet, and none is short at three"
  )
  func quietDomains() throws {
    let lines = try simulate()
    #expect(lines.count == 16)
    let conserved = lines.count { $0.isConserved }
    #expect(conserved == lines.count)
    #expect(lines[2].fits && lines[2].swappedOutPages == 0)
    let fitting = lines.filter(\.fits).map(\.domains).max() ?? 0
    #expect(fitting > 3)
  }

  @Test("domains that need all that they may have fit as if there were no balloons")
  func fullDomains() throws {
    try scratch("1024\n") { path in
      let lines = try simulate("--demand", path, "--seconds", "100", "--domains", "5")
      let fits = lines.map { $0.fits }
      #expect(fits == [true, true, true, false, false])
      let built = lines.map { $0.built }
      #expect(built == [1, 2, 3, 3, 3])
      let swapped = lines.map { $0.swappedOutPages }
      #expect(swapped == [0, 0, 0, 0, 0])
    }
  }

  @Test("what is needed at once and is not there is swapped, page by page")
  func swapIsCounted() throws {
    let idle = Array(repeating: "300,300", count: 120)
    let busy = Array(repeating: "1000,1000", count: 30)
    try scratch((idle + busy).joined(separator: "\n")) { path in
      let lines = try simulate(
        "--demand", path, "--seconds", "150", "--domains", "2", "--host", "1400", "--reserve", "100",
        "--maximum", "1000")
      #expect(lines[1].built == 2 && !lines[1].fits)
      // Both need 2,000 MB, and there are 1,300.
      #expect(lines[1].worstShortagePages == 700 * 256)
      #expect(lines[1].swappedOutPages >= 700 * 256)
    }
  }

  @Test("the same seed says the same, and is drawn")
  func isDrawn() throws {
    let drawing = NSTemporaryDirectory() + "lockstep-\(UUID().uuidString).svg"
    defer { try? FileManager.default.removeItem(atPath: drawing) }
    let arguments = ["simulate", "overcommit", "--load", "mixed", "--seconds", "600", "--seed", "5"]
    let first = Program.run(Program.lockstep, arguments + ["--svg", drawing])
    #expect(first.end == .exited(0) && first.output == Program.run(Program.lockstep, arguments).output)
    let text = try String(contentsOfFile: drawing, encoding: .utf8)
    #expect(XMLCheck.isWellFormed(text))
  }

  @Test("demand that is no numbers is refused with its line")
  func badDemand() throws {
    try scratch("100,200\n100,many\n") { path in
      let result = Program.run(Program.lockstep, ["simulate", "overcommit", "--demand", path])
      #expect(result.end == .exited(2))
      #expect(result.error.contains("\(path):2:"))
    }
    #expect(Program.run(Program.lockstep, ["simulate", "overcommit", "--maximum", "9999"]).end == .exited(2))
  }
}

/// Whether the tags of a drawing open and close as they should.
private enum XMLCheck {
  static func isWellFormed(_ text: String) -> Bool {
    var open: [Substring] = []
    for part in text.split(separator: "<").dropFirst(text.hasPrefix("<") ? 0 : 1) {
      guard let end = part.firstIndex(of: ">") else { return false }
      let tag = part[..<end]
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else if !tag.hasSuffix("/") {
        open.append(tag.prefix { $0 != " " })
      }
    }
    return open.isEmpty
  }
}
