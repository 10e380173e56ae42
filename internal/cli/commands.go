package cli

import "github.com/spf13/cobra"

// serverCommands run and look into a server.
func (a *app) serverCommands() []*cobra.Command {
	return []*cobra.Command{a.serveCommand(), a.debugCommand()}
}

// dataCommands work on the store.
func (a *app) dataCommands() []*cobra.Command {
	return []*cobra.Command{a.userCommand(), a.planCommand(), a.groupCommand(), a.nasCommand(), a.taxCommand(), a.subscriptionCommand(), a.billingCommand(), a.invoiceCommand(), a.chargeCommand(), a.orderCommand(), a.paymentCommand(), a.balanceCommand(), a.statementCommand(), a.ledgerCommand(), a.voucherCommand(), a.policyCommand(), a.sessionCommand(), a.reportCommand(), a.jobCommand(), a.migrateCommand(), a.backupCommand(), a.restoreCommand(), a.journalCommand()}
}

// toolCommands need no store.
func (a *app) toolCommands() []*cobra.Command {
	return []*cobra.Command{a.testCommand(), a.benchCommand(), a.configCommand(), a.dictionaryCommand(), a.versionCommand()}
}

// adminCommands are those of the program adminapi.
func (a *app) adminCommands() []*cobra.Command {
	return []*cobra.Command{a.adminServeCommand(), a.operatorCommand(), a.auditCommand(), a.openapiCommand(), a.versionCommand()}
}
