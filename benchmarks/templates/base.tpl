<!doctype html>
<html lang="en">
<head><title>{{title}}</title></head>
<body>
<nav><a href="/">Home</a> <a href="/user/42">User</a></nav>
{{!base}}
</body>
</html>
