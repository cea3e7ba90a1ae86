import java.io.BufferedReader;
import java.io.InputStreamReader;
import software.amazon.awssdk.auth.credentials.AwsCredentials;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.services.sts.StsClient;

/**
 * Asks who it is with the credentials of the SDK's default chain, once for each line on standard input, and answers each
 * with a line: the ARN, the access key id and the account id of the credentials.
 */
public final class WhoAmI {
    private WhoAmI() {
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        try (DefaultCredentialsProvider provider = DefaultCredentialsProvider.builder().build();
                StsClient client = StsClient.builder()
                        .credentialsProvider(provider)
                        .httpClient(UrlConnectionHttpClient.create())
                        .build()) {
            while (lines.readLine() != null) {
                String arn = client.getCallerIdentity().arn();
                AwsCredentials credentials = provider.resolveCredentials();
                System.out.println(arn + " " + credentials.accessKeyId() + " " + credentials.accountId().orElse("-"));
            }
        } catch (RuntimeException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }
}
