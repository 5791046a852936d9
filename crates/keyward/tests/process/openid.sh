# A login with an account elsewhere, in a browser that is curl with a jar: cookies over TLS, kept and sent as browsers do.
#
# MANAGE is the management API's URL, CA its authority, JAR where cookies are kept. Each step says what it did.
source "${BASH_SOURCE%/*}/asking.sh"

curl() { command curl --silent --show-error --cacert "$CA" "$@"; }
browser() { curl --cookie "$JAR" --cookie-jar "$JAR" "$@"; }

sign_up
ask "$ada" POST "/v1/organizations/$organization/invitations" '{"email":"bob@example.com","role":"developer"}' > /dev/null
echo "invited"

start=$(curl --fail-with-body "$MANAGE/v1/sessions/openid" | first start)
provider=$(browser --output /dev/null --write-out '%{redirect_url}' "$MANAGE$start?return_to=/keys")
back=$(curl --output /dev/null --write-out '%{redirect_url}' --data 'sub=b-1' "$provider")
echo "came back: $(browser --output /dev/null --write-out '%{http_code} %{redirect_url}' "$back")"
echo "is $(browser --fail-with-body "$MANAGE/v1/account" | first email), $(browser "$MANAGE/v1/account" | first role)"
echo "once more: $(browser --output /dev/null --write-out '%{http_code}' "$back")"

keys="$MANAGE/v1/organizations/$organization/keys"
key='{"api":"main","name":"ci","permissions":["read"]}'
echo "from nowhere: $(browser --json "$key" "$keys" | first code)"
echo "from elsewhere: $(browser --header 'Origin: https://evil.example' --json "$key" "$keys" | first code)"
echo "from here: $(browser --header "Origin: $MANAGE" --json "$key" "$keys" | first name)"

provider=$(browser --output /dev/null --write-out '%{redirect_url}' "$MANAGE$start")
back=$(curl --output /dev/null --write-out '%{redirect_url}' --data 'sub=eve' "$provider")
echo "a stranger: $(browser "$back" | first code)"

browser --fail-with-body --header "Origin: $MANAGE" --request DELETE "$MANAGE/v1/sessions/current"
echo "out: $(browser --output /dev/null --write-out '%{http_code}' "$MANAGE/v1/account") $(grep -c keyward_session "$JAR" || true)"
echo "hsts: $(curl --output /dev/null --write-out '%header{strict-transport-security}' "$MANAGE/v1/account")"
