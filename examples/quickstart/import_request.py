from flask import request
