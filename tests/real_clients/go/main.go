// Asks who it is with the credentials of the SDK's default chain, once for each line on standard input, and answers each
// with a line: the ARN, the access key id and the account id of the credentials.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fail(err)
	}
	client := sts.NewFromConfig(cfg)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		identity, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			fail(err)
		}
		credentials, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			fail(err)
		}
		fmt.Println(aws.ToString(identity.Arn), credentials.AccessKeyID, credentials.AccountID)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
