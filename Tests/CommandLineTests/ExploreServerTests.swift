// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite("lockstep explore --serve") struct ExploreServerTests {
  private struct View: Decodable {
    struct Taken: Decodable {
      let step: Step
      let call: String
    }
    struct Step: Codable {
      let action: String
      let arguments: [UInt64]
    }
    struct Path: Codable {
      let start: Int
      let steps: [Step]
    }
    struct Claim: Decodable { let isInvariant, holds: Bool }
    let path: Path
    let possible: [Taken]
    let claims: [Claim]
    let text: String
  }
  private struct Place: Encodable {
    var scope = 0
    let path: View.Path
  }

  private func serving(_ arguments: String..., use: (String) async throws -> Void) async throws {
    let service = Service(Program.lockstep, ["explore", "Stream", "--serve"] + arguments)
    try await use(try await service.said(/at (http:\/\/127\.0\.0\.1:\d+\/)/))
    #expect(service.end() == .exited(0))
  }

  private func walk(_ address: String, _ path: View.Path) async throws -> View {
    let body = try JSONEncoder().encode(Place(path: path))
    let answer = try await request("\(address)walk", "POST", body: body)
    #expect(answer.status == 200)
    return try JSONDecoder().decode(View.self, from: answer.body)
  }

  @Test("answers where a path leads, and refuses what is no path") func walks() async throws {
    try await serving { address in
      let first = try await walk(address, View.Path(start: 0, steps: []))
      let step = try #require(first.possible.first).step
      let second = try await walk(address, View.Path(start: 0, steps: [step]))
      #expect(second.path.steps.count == 1 && second.text.contains("1  \(first.possible[0].call)"))
      #expect(second.claims.allSatisfy { $0.holds || !$0.isInvariant })
      let bad = [
        #"{"scope":0,"path":{"start":0,"steps":[{"action":"fly","arguments":[]}]}}"#,
        #"{"scope":1,"path":{"start":0,"steps":[]}}"#, #"{"scope":0,"path":{"start":999,"steps":[]}}"#,
        "{", "",
      ]
      for text in bad {
        #expect(try await request("\(address)walk", "POST", body: Data(text.utf8)).status == 400, "\(text)")
      }
      let large = Data(repeating: 0x20, count: 2 << 20)
      #expect(try await request("\(address)walk", "POST", body: large).status == 413)
      #expect(try await request("\(address)nothing").status == 404)
    }
  }

  @Test("serves a page to this computer's names only, and nothing that it does not bring itself")
  func page() async throws {
    try await serving { address in
      let page = try await request(address)
      #expect(page.status == 200)
      let text = String(decoding: page.body, as: UTF8.self)
      #expect(!text.contains("http:") && !text.contains("https:"))
      for file in ["page.js", "page.css"] {
        #expect(text.contains("\"\(file)\""))
        #expect(try await request(address + file).status == 200)
      }
      let disguised = try await request(address, host: "elsewhere.example:80")
      #expect(disguised.status == 403)
    }
  }

  @Test("wants one machine and a port that there is") func wrong() {
    for arguments in [
      ["explore", "--serve"], ["explore", "Ring", "Stream", "--serve"],
      ["explore", "Ring", "--serve", "--port", "65536"], ["explore", "Ring", "--port", "80"],
    ] {
      let result = Program.run(Program.lockstep, arguments)
      #expect(result.end == .exited(2), "\(arguments)")
      #expect(result.error.split(separator: "\n").count == 1, "\(result.error)")
    }
  }

  @Test(
    "in a browser: a step, what it changes, Back, the path as text and its replay, a broken invariant",
    .enabled(if: Browser.isThere, "no headless Chromium (packages chromium, chromium-driver)"))
  func browser() async throws {
    let driver = Service(Browser.driver, ["--port=0"])
    let port = try await driver.said(/started successfully on port (\d+)/)
    let browser = try await Browser(driver: "http://127.0.0.1:\(port)")
    try await serving { address in try await walkThrough(browser, address) }
    let mutant = "early event"
    let found = Program.run(Program.lockstep, ["explore", "Stream", "--mutant", mutant])
    try await serving("--mutant", mutant) { address in
      try await browser.open(address)
      try await browser.wait("document.body.dataset.ready", "yes")
      #expect(try await browser.text("document.querySelectorAll('#claims .fails').length") == "0")
      try await browser.fill("#text", found.output)
      try await browser.click("#replay")
      try await browser.wait("document.querySelectorAll('#claims .fails').length > 0", "true")
      #expect(try await browser.text("document.getElementById('error').textContent") == "")
    }
    try await browser.close()
    _ = driver.end()
  }

  private func walkThrough(_ browser: Browser, _ address: String) async throws {
    func state() async throws -> String {
      try await browser.text("document.getElementById('state').innerText")
    }
    func depth(_ steps: Int) async throws {
      try await browser.wait("document.body.dataset.depth", "\(steps)")
    }
    try await browser.open(address)
    try await browser.wait("document.body.dataset.ready", "yes")
    let first = try await state()
    let call = try await browser.text(
      "document.querySelector('#actions button:not(.still)').firstChild.textContent")
    try await browser.click("#actions button:not(.still)")
    try await depth(1)
    #expect(
      try await browser.text("document.querySelector('#trail li:last-child button').textContent") == call)
    #expect(try await browser.text("document.querySelectorAll('tr.changed').length > 0") == "true")
    #expect(try await browser.text("document.querySelectorAll('#claims .fails').length") == "0")
    let second = try await state()
    #expect(second != first)
    let path = try await browser.text("document.getElementById('text').value")
    if let folder = ProcessInfo.processInfo.environment["LOCKSTEP_PICTURES"] {
      try await browser.picture().write(to: URL(fileURLWithPath: "\(folder)/explore.png"))
    }
    try await browser.click("#back")
    try await depth(0)
    #expect(try await state() == first)
    try await browser.fill("#text", path)
    try await browser.click("#replay")
    try await depth(1)
    #expect(try await state() == second)
    // The address is the path too.
    let kept = try await browser.text("location.href")
    try await browser.open("about:blank")
    try await browser.open(kept)
    try await depth(1)
    #expect(try await state() == second)
    try await browser.fill("#text", "fly(1)")
    try await browser.click("#replay")
    try await browser.wait("document.getElementById('error').textContent", "Stream has no action fly")
    #expect(try await state() == second)
  }
}
