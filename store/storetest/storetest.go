// Package storetest is the conformance suite of package store: what every engine
// must do, and do alike.
package storetest

import (
	"database/sql"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
	"radiusd/store/seal"
)

// Key is the master key of the suite's databases.
var Key = seal.Key([]byte(strings.Repeat("test key", 4)))

// Database makes a new, empty database with the newest schema and returns the options that open it;
// calling store.Open with them twice gives two nodes on one database.
type Database func(t testing.TB) store.Options

// Run runs the whole suite, each test on a database of its own.
func Run(t *testing.T, database Database) {
	for name, test := range map[string]func(*testing.T, Database){
		"Users":          testUsers,
		"UserErrors":     testUserErrors,
		"UserLists":      testUserLists,
		"Plans":          testPlans,
		"Groups":         testGroups,
		"NAS":            testNAS,
		"PolicyOf":       testPolicyOf,
		"Profiles":       testProfiles,
		"ByID":           testByID,
		"UserPages":      testUserPages,
		"UserPagesGrow":  testUserPagesGrow,
		"BadPages":       testBadPages,
		"Batches":        testBatches,
		"PeriodUsage":    testPeriodUsage,
		"DirectoryPages": testDirectoryPages,
		"RecordPages":    testRecordPages,
		"RecordSpan":     testRecordSpan,
		"FieldErrors":    testFieldErrors,
		"EachUser":       testEachUser,
		"Changes":        testChanges,
		"ChangesByHand":  testChangesByHand,
		"ChangesExpire":  testChangesExpire,
		"WrongMasterKey": testWrongMasterKey,
		"DamagedSecret":  testDamagedSecret,
		"Sealed":         testSealed,
		"Audit":          testAudit,
		"AuditMasks":     testAuditMasks,
		"AuditTampering": testAuditTampering,
		"AuditPutBack":   testAuditPutBack,
		"AuditGuard":     testAuditAppendOnly,
		"AuditRetention": testAuditRetention,
		"AuditAtOnce":    testAuditAtOnce,
		"AuditRollback":  testAuditRollback,
		"Idempotency":    testIdempotency,
		"Webhooks":       testWebhooks,
		"Outbox":         testOutbox,
		"OutboxKilled":   testOutboxKilled,
		"OutboxPrune":    testOutboxPrune,
		"TwoNodes":       testTwoNodes,
		"Unusual":        testUnusualText,
		"Import":         testImport,
		"ImportErrors":   testImportErrors,
		"Sink":           testSink,
		"SinkRepeats":    testSinkRepeats,
		"SinkCopies":     testSinkCopies,
		"SinkOrders":     testSinkOrders,
		"UsageAgrees":    testUsageAgrees,
		"SinkCursor":     testSinkCursor,
		"NodesBoots":     testNodesBoots,
		"ManyWriters":    testManyWriters,
		"SinkNodes":      testSinkNodes,
		"Boots":          testBoots,
		"RecordsOfNASes": testRecordsOfNASes,
		"CloseSessions":  testCloseSessions,
		"SessionLists":   testSessionLists,
		"Usage":          testUsage,
		"UsageAccounts":  testUsageAccounts,
		"UsageTotals":    testUsageTotals,
		"HugeCounters":   testHugeCounters,
		"AuthRecords":    testAuthRecords,
		"Retention":      testRetention,
		"Operators":      testOperators,
		"OperatorLists":  testOperatorLists,
		"SigningKeys":    testSigningKeys,
		"Attempts":       testAttempts,
		"RefreshTokens":  testRefreshTokens,
		"Actions":        testActions,
		"ActionWorkers":  testActionWorkers,
		"ActionRate":     testActionRate,
		"StagedActions":  testStagedActions,
		"ReplaceSecret":  testReplaceSecret,
		"ActionStops":    testActionStops,
		"Backup":         testBackup,
		"RestoreRefuses": testRestoreRefuses,
		"BackupLoad":     testBackupUnderLoad,
		"Rates":          testRates,
		"TaxRates":       testTaxRates,
		"Subscriptions":  testSubscriptions,
		"BillingRun":     testBillingRun,
		"RunOnce":        testBillingRunOnce,
		"RunFails":       testBillingRunFails,
		"RunCredits":     testBillingRunCredits,
		"RunKilled":      testBillingRunKilled,
		"PrepaidUsage":   testPrepaidUsage,
		"UnbilledPaid":   testUnbilledPaid,
		"ChargedCredit":  testChargedCredit,
		"Previews":       testPreviewsWaitForNobody,
		"Statements":     testBillingStatements,
		"Payments":       testPayments,
		"PaymentsAtOnce": testPaymentsAtOnce,
		"LedgerProperty": testLedgerProperty,
		"Settled":        testSettled,
		"PrepaidServed":  testPrepaidServed,
		"WrittenOff":     testWrittenOff,
		"UsedUp":         testUsedUp,
		"Orders":         testOrders,
		"OrdersCredit":   testOrdersFromCredit,
		"OrdersAtOnce":   testOrdersAtOnce,
		"OrdersTaxed":    testOrdersTaxed,
		"OrdersHindered": testOrdersHindered,
		"DeletedOwes":    testDeletedOwes,
		"DeletedBilled":  testDeletedBilled,
		"DeletedDrafts":  testDeletedDrafts,
		"BankEntries":    testBankEntries,
		"EqualEntries":   testEqualEntries,
		"EqualByFile":    testEqualOfStatements,
		"EqualAtOnce":    testEqualAtOnce,
		"EqualLater":     testEqualMatchedLater,
		"EndedServesNot": testEndedCreditServesNobody,
		"EndedAndBack":   testEndedCreditChargedBack,
		"Checkout":       testCheckout,
		"CardRefunds":    testCardRefunds,
		"RefundOrder":    testCardRefundOrder,
		"CameBack":       testCameBack,
		"BillingReports": testBillingReports,
		"BankCutOff":     testBankImportCutOff,
		"Vouchers":       testVouchers,
		"VoucherUses":    testVoucherUses,
		"VoucherRedeem":  testVoucherRedeem,
		"VoucherOnce":    testVoucherOnce,
		"VoucherGuesses": testVoucherGuesses,
		"BillingUsage":   testBillingUsage,
		"HoursOverlap":   testHoursOverlap,
		"CloseHours":     testCloseWithoutHours,
		"Drafts":         testDrafts,
		"BillingLists":   testBillingLists,
		"DunningGroup":   testDunningGroup,
		"DunningEdits":   testDunningEdits,
		"DunningEnd":     testDunningEnd,
		"DunningOpen":    testDunningOpen,
		"MailTurns":      testMailTurns,
		"CreditExpiry":   testCreditExpiry,
		"Service":        testService,
		"ServiceByHand":  testServiceByHand,
		"PrepaidService": testPrepaidService,
		"PrepaidTrial":   testPrepaidTrial,
		"UsedSuspended":  testUsedWhileSuspended,
		"ByHand":         testExhaustedByHand,
		"PrepaidStart":   testPrepaidStart,
		"DunningEnds":    testDunningEnds,
		"DeletedDunned":  testDeletedDunned,
		"DeletedCredit":  testDeletedCredited,
		"GivenBackOnce":  testGivenBackOnce,
		"ChargedAgain":   testChargedAgain,
		"CreditedDays":   testCreditedDays,
		"Grace":          testGrace,
		"EndedOnce":      testEndedOnce,
		"LockOrder":      testLockOrder,
		"UsageOnce":      testUsageOnce,
		"BackupBilling":  testBackupBilling,
		"Settings":       testSettings,
		"Pseudonymise":   testPseudonymiseSessions,
		"ExportPerson":   testExportPerson,
		"ErasePerson":    testErasePerson,
		"ErasureResumes": testErasureResumes,
		"ErasedBilling":  testErasedBilling,
		"ErasedActions":  testErasedActions,
		"KeptUserLeaves": testKeptUserLeaves,
		"ErasedUsage":    testErasedUsage,
		"ErasedEntries":  testErasedEqualEntries,
		"ExportBilling":  testExportBilling,
		"FormerNames":    testFormerNames,
		"ExportRenamed":  testExportRenamed,
		"EraseRenamed":   testEraseRenamed,
		"ErasedTotals":   testErasedTotals,
	} {
		t.Run(name, func(t *testing.T) { test(t, database) })
	}
}

// Open makes a new database and opens it.
func Open(t testing.TB, database Database) *store.Store {
	t.Helper()
	s, _ := openWith(t, database)
	return s
}

func sealer() *seal.Sealer { return seal.New(Key) }

func openWith(t testing.TB, database Database) (*store.Store, store.Options) {
	t.Helper()
	return openNode(t, database, "")
}

// openNode makes a new database and opens it as a node with a journal.
func openNode(t testing.TB, database Database, nodeID string) (*store.Store, store.Options) {
	t.Helper()
	options := database(t)
	options.Sealer = sealer()
	options.NodeID = nodeID
	return reopen(t, options), options
}

func reopen(t testing.TB, options store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Raw opens the database without package store, as an operator's psql or sqlite3
// does.
func Raw(t testing.TB, options store.Options) *sql.DB {
	t.Helper()
	driver, source := "pgx", options.URL
	if options.URL == "" {
		driver, source = "sqlite", "file:"+options.Path+"?_pragma=busy_timeout(15000)&_pragma=foreign_keys(1)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func execute(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}

// rawDB counts rows.
type rawDB struct{ *sql.DB }

func (db rawDB) count(t testing.TB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// A canary is a secret that must not be found in the clear in any file.
const canary = "canary-in-the-database"

func newUser(name string) *aaa.User {
	return &aaa.User{Name: name, Credential: aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(canary)}}
}

func newNAS(prefix string) *aaa.NAS {
	return &aaa.NAS{Prefix: netip.MustParsePrefix(prefix), Secret: []byte(canary)}
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}
