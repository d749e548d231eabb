// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Grants that stay mapped between requests, for a front end that uses the same pages over and over and has said so
/// (`feature-persistent` of xen/include/public/io/blkif.h). Belongs to one thread.
///
/// 1. Such a grant is mapped for writing, whatever its first request wants of it, since the next may read into it.
/// 2. At most `limit` are kept; those go first that were used least recently, and none that a request uses.
/// 3. What cannot be kept is mapped as for any front end, and let go of with its request.
final class PersistentGrants: GrantAccess, @unchecked Sendable {
  private struct Kept {
    var page: MappedPage
    /// Requests under way that use it.
    var users = 0
    /// When it was used last: in calls of `map`.
    var lastUse: UInt64
  }

  private let inner: any GrantAccess
  private let limit: Int
  private var kept: [GrantReference: Kept] = [:]
  private var references: [GrantHandle: GrantReference] = [:]
  private var time: UInt64 = 0

  /// As many as Linux's back end keeps, and as requests that are under way have.
  static let standardLimit = BlockServer.maximumPages

  init(_ inner: any GrantAccess, limit: Int = PersistentGrants.standardLimit) {
    self.inner = inner
    self.limit = limit
  }

  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    time += 1
    // None of them makes room for the others.
    for reference in references { kept[reference]?.lastUse = time }
    guard keep(missing(of: references)) else { return inner.map(references, readOnly: readOnly) }
    return .success(
      references.compactMap { reference in
        kept[reference]?.users += 1
        return kept[reference]?.page
      })
  }

  func unmap(_ pages: [MappedPage]) {
    var others: [MappedPage] = []
    for page in pages {
      if let reference = references[page.handle] {
        kept[reference]?.users -= 1
      } else {
        others.append(page)
      }
    }
    if !others.isEmpty { inner.unmap(others) }
  }

  /// A page that is kept; nil if it is not.
  func page(of reference: GrantReference) -> MappedPage? { kept[reference]?.page }

  /// Lets go of all that is kept.
  /// - Precondition: no request uses any of it.
  func dropAll() { drop(kept.keys.sorted { $0.rawValue < $1.rawValue }) }

  /// Those that are not kept, each once.
  private func missing(of references: [GrantReference]) -> [GrantReference] {
    let missing = references.filter { kept[$0] == nil }
    guard missing.count > 1 else { return missing }
    var seen: Set<GrantReference> = []
    return missing.filter { seen.insert($0).inserted }
  }

  /// Maps grants that are to be kept.
  /// - Returns: false if there is no room for them, or they cannot be mapped for writing; nothing is mapped then.
  private func keep(_ missing: [GrantReference]) -> Bool {
    if missing.isEmpty { return true }
    makeRoom(for: missing.count)
    guard kept.count + missing.count <= limit, case .success(let pages) = inner.map(missing, readOnly: false)
    else { return false }
    for (reference, page) in zip(missing, pages) {
      kept[reference] = Kept(page: page, lastUse: time)
      references[page.handle] = reference
    }
    return true
  }

  private func makeRoom(for count: Int) {
    guard kept.count + count > limit else { return }
    let unused = kept.filter { $0.value.users == 0 && $0.value.lastUse < time }
      .sorted { ($0.value.lastUse, $0.key.rawValue) < ($1.value.lastUse, $1.key.rawValue) }
    // A quarter more than is needed, so that not each request has to look for some.
    drop(unused.prefix(kept.count + count - limit + limit / 4).map(\.key))
  }

  private func drop(_ references: [GrantReference]) {
    let pages = references.compactMap { kept.removeValue(forKey: $0)?.page }
    for page in pages { self.references[page.handle] = nil }
    if !pages.isEmpty { inner.unmap(pages) }
  }
}
