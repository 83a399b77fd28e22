/* How clients come to trust the proxy authority. */
#include <stdio.h>

#include "keyctl/ca.h"

void
ca_hints(const struct cacert *view, const char *file)
{
	char name[SHOWN_MAX];

	if (file == NULL)
		file = "postern-ca.crt";
	(void)printf("%s\nSHA-256", shown(view->name, name));
	for (size_t i = 0; view->sha256[i] != '\0'; i += 2)
		(void)printf("%c%.2s", i == 0 ? ' ' : ':', view->sha256 + i);
	(void)printf(
	    "\n\n"
	    "Whoever installs this certificate lets this gateway read what its mail programs say "
	    "to\n"
	    "foreign servers. %s is in PEM (keyctl ca export --output %s).\n\n"
	    "Debian, Ubuntu     install -m 644 %s /usr/local/share/ca-certificates/postern-ca.crt\n"
	    "                   update-ca-certificates\n"
	    "RHEL, Fedora       install -m 644 %s /etc/pki/ca-trust/source/anchors/postern-ca.crt\n"
	    "                   update-ca-trust\n",
	    file, file, file, file);
	(void)printf(
	    "macOS              security add-trusted-cert -d -r trustRoot \\\n"
	    "                       -k /Library/Keychains/System.keychain %s\n"
	    "                   Managed: a configuration profile with a certificate payload.\n"
	    "iOS, iPadOS        Managed: the same profile, which is trusted at once. By hand: send "
	    "the\n"
	    "                   file, install the profile in Settings > General > VPN & Device\n"
	    "                   Management, then switch it on in Settings > General > About >\n"
	    "                   Certificate Trust Settings.\n",
	    file);
	(void)printf(
	    "Windows            certutil -addstore -f Root %s    (as administrator)\n"
	    "                   Domain: Group Policy, Computer Configuration > Policies > Windows\n"
	    "                   Settings > Security Settings > Public Key Policies > Trusted Root\n"
	    "                   Certification Authorities > Import.\n"
	    "Firefox,           have authorities of their own. Settings > Privacy & Security >\n"
	    "Thunderbird        Certificates > Authorities > Import, for websites; for many "
	    "machines\n"
	    "                   policies.json with \"Certificates\": {\"Install\": [\"%s\"]},\n"
	    "                   or \"ImportEnterpriseRoots\": true on Windows and macOS.\n"
	    "Android            Settings > Security > Encryption & credentials > Install a\n"
	    "                   certificate > CA certificate. Since Android 7 an app decides "
	    "itself\n"
	    "                   whether that counts; on managed devices the management installs "
	    "it.\n",
	    file, file);
}
